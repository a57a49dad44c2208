'use strict';

const list = document.querySelector('#list');

async function call(method, path, body) {
  const options = { method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) };
  const response = await fetch(`api/todos${path}`, options);
  return response.status === 204 ? undefined : response.json();
}

function row(todo) {
  const item = document.createElement('li');
  const label = document.createElement('label');
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.checked = todo.done;
  box.onchange = () => call('PATCH', `/${todo.id}`, { done: box.checked }).then(show);
  label.append(box, ` ${todo.title}`);
  label.className = todo.done ? 'done' : '';
  item.append(label);
  return item;
}

async function show() {
  list.replaceChildren(...(await call('GET', '')).map(row));
}

document.querySelector('#add').onsubmit = async (event) => {
  event.preventDefault();
  await call('POST', '', { title: document.querySelector('#title').value });
  event.target.reset();
  show();
};
show();
