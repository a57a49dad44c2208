'use strict';

const path = require('node:path');
const compression = require('compression');
const express = require('express');
const helmet = require('helmet');
const { z } = require('zod');
const { Todos } = require('./todos');

const Title = z.string().trim().min(1).max(200);
const NewTodo = z.object({ title: Title }).strict();
const Change = z.object({ title: Title, done: z.boolean() }).partial().strict();
const Filter = z.object({ done: z.enum(['true', 'false']).transform((text) => text === 'true').optional() });

function createApp(todos = new Todos()) {
  const app = express();
  app.use(helmet());
  app.use(compression());
  app.use(express.json({ limit: '10kb' }));
  app.use(express.static(path.join(__dirname, '..', 'public')));

  app.get('/healthz', (req, res) => res.json({ status: 'ok' }));

  app.get('/api/todos', (req, res) => res.json(todos.all(Filter.parse(req.query))));

  app.post('/api/todos', (req, res) => {
    const { title } = NewTodo.parse(req.body);
    res.status(201).json(todos.add(title));
  });

  app.param('id', (req, res, next, id) => {
    req.todo = todos.get(Number(id));
    if (req.todo) return next();
    res.status(404).json({ error: `no to-do ${id}` });
  });
  app.get('/api/todos/:id', (req, res) => res.json(req.todo));
  app.patch('/api/todos/:id', (req, res) => res.json(todos.update(req.todo.id, Change.parse(req.body))));
  app.delete('/api/todos/:id', (req, res) => {
    todos.remove(req.todo.id);
    res.status(204).end();
  });

  // Four parameters make it the error handler.
  app.use((error, req, res, next) => {
    if (error instanceof z.ZodError) {
      return res.status(400).json({ error: error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') });
    }
    if (error.status >= 400 && error.status < 500) return res.status(error.status).json({ error: error.message });
    next(error);
  });
  return app;
}

module.exports = { createApp };
