'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { Todos } = require('../src/todos');

test('a new to-do is not done', () => {
  const todos = new Todos();
  assert.deepEqual(todos.add('milk'), { id: 1, title: 'milk', done: false });
  assert.equal(todos.all().length, 1);
});

test('ids are never used again', () => {
  const todos = new Todos();
  todos.remove(todos.add('milk').id);
  assert.equal(todos.add('bread').id, 2);
});

test('the list is filtered by what is done', () => {
  const todos = new Todos();
  todos.add('milk');
  todos.update(todos.add('bread').id, { done: true });
  assert.deepEqual(todos.all({ done: true }).map((item) => item.title), ['bread']);
  assert.deepEqual(todos.all({ done: false }).map((item) => item.title), ['milk']);
});

test('what is not there is not updated', () => {
  assert.equal(new Todos().update(7, { done: true }), undefined);
});
