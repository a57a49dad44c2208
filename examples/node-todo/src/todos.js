'use strict';

// The list itself: no HTTP here, so that it is tested without a server.
class Todos {
  #items = new Map();
  #next = 1;

  all({ done } = {}) {
    return [...this.#items.values()].filter((item) => done === undefined || item.done === done);
  }

  get(id) {
    return this.#items.get(id);
  }

  add(title) {
    const item = { id: this.#next++, title, done: false };
    this.#items.set(item.id, item);
    return item;
  }

  update(id, change) {
    const item = this.#items.get(id);
    return item && Object.assign(item, change);
  }

  remove(id) {
    return this.#items.delete(id);
  }
}

module.exports = { Todos };
