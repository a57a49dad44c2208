'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { createApp } = require('../src/app');

let server;
let base;

before(async () => {
  server = createApp().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

function call(method, path, body) {
  const headers = { 'content-type': 'application/json' };
  return fetch(base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

test('the health check answers', async () => {
  const response = await call('GET', '/healthz');
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { status: 'ok' });
});

test('a to-do lives: added, listed, done, removed', async () => {
  const added = await call('POST', '/api/todos', { title: ' write the tests ' });
  assert.equal(added.status, 201);
  const { id, title } = await added.json();
  assert.equal(title, 'write the tests');

  const done = await call('PATCH', `/api/todos/${id}`, { done: true });
  assert.equal((await done.json()).done, true);
  const listed = await (await call('GET', '/api/todos?done=true')).json();
  assert.deepEqual(listed, [{ id, title, done: true }]);

  assert.equal((await call('DELETE', `/api/todos/${id}`)).status, 204);
  assert.equal((await call('GET', `/api/todos/${id}`)).status, 404);
});

for (const body of [{}, { title: '' }, { title: 'x', admin: true }, { title: 'x'.repeat(201) }]) {
  test(`bad input is refused: ${JSON.stringify(body).slice(0, 40)}`, async () => {
    assert.equal((await call('POST', '/api/todos', body)).status, 400);
  });
}

test('broken JSON is the caller\'s mistake', async () => {
  const response = await fetch(`${base}/api/todos`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' });
  assert.equal(response.status, 400);
});

test('the page is served with a content security policy', async () => {
  const response = await call('GET', '/');
  assert.match(await response.text(), /<title>To do<\/title>/);
  assert.match(response.headers.get('content-security-policy'), /script-src 'self'/);
});
