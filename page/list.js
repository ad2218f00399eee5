/* A table of any length: the rows that are in sight alone are elements. A row is made once for each
 * key while it is in sight and told of its item when that changes, so nothing jumps. */
import {h} from "./dom.js";

const SPARE = 6; /* rows beyond each edge */

export class VirtualTable {
  /* columns: [{name, title, sort, down}], of which `order` is the one that the items are sorted by;
   * make(item) and update(element, item) are a row's; sorted(name, down) is called when they are to
   * be sorted otherwise. */
  constructor({label, columns, make, update, key, order, down, sorted}) {
    Object.assign(this, {make, update, key, sorted, items: [], rows: new Map()});
    this.space = h("div.vspace", {role: "rowgroup"});
    this.head = h("div.vhead", {role: "rowgroup"},
      h("div.vrow", {role: "row"}, columns.map(c => this.headCell(c))));
    this.mark(order, down);
    this.element = h("div.vtable", {role: "table", "aria-label": label,
      onscroll: () => this.draw(), onkeydown: e => this.move(e)}, this.head, this.space);
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  headCell(column) {
    const cell = h(`div.cell.${column.name}`, {role: "columnheader", data: {column: column.name}});
    if (!column.sort) {
      cell.append(h(column.hidden ? "span.hidden" : "span", column.title));
      return cell;
    }
    cell.append(h("button", {onclick: () => {
      const is = cell.getAttribute("aria-sort");
      this.sort(column.name, is ? is === "ascending" : Boolean(column.down));
    }}, column.title));
    return cell;
  }

  mark(name, down) {
    for (const cell of this.head.firstChild.children)
      if (cell.dataset.column === name)
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
  }

  sort(name, down) {
    this.mark(name, down);
    this.sorted(name, down);
  }

  setItems(items) {
    this.items = items;
    this.element.setAttribute("aria-rowcount", items.length + 1);
    this.draw();
  }

  /* Of the rows in sight, below the head. */
  tall() {
    return this.element.clientHeight - this.head.offsetHeight;
  }

  height() {
    return parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 48;
  }

  draw() {
    const height = this.height();
    const first = Math.max(0, Math.floor(this.element.scrollTop / height) - SPARE);
    const low = this.element.scrollTop + this.tall();
    const last = Math.min(this.items.length, Math.ceil(low / height) + SPARE);
    const seen = new Set();
    this.space.style.height = `${this.items.length * height}px`;
    for (let i = first; i < last; i++) {
      const item = this.items[i], key = this.key(item);
      seen.add(key);
      const row = this.rows.get(key) ?? this.add(key, item);
      row.style.transform = `translateY(${i * height}px)`;
      row.setAttribute("aria-rowindex", i + 2);
      row.at = i;
      this.update(row, item);
    }
    for (const [key, row] of this.rows)
      if (!seen.has(key) && !row.contains(document.activeElement)) {
        row.remove();
        this.rows.delete(key);
      }
    this.order(first, last);
  }

  add(key, item) {
    const row = this.make(item);
    row.setAttribute("role", "row");
    this.rows.set(key, row);
    this.space.append(row);
    return row;
  }

  /* Elements stand in the order of their items, as a screen reader and Tab go through them. */
  order(first, last) {
    let before = null;
    for (let i = last - 1; i >= first; i--) {
      const row = this.rows.get(this.key(this.items[i]));
      if (row.nextSibling !== before && !row.contains(document.activeElement))
        this.space.insertBefore(row, before);
      before = row;
    }
  }

  /* Arrows, Page keys, Home and End go from row to row. */
  move(event) {
    const row = event.target.closest(".vspace .vrow");
    const page = Math.max(1, Math.floor(this.tall() / this.height()) - 1);
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
                  Home: -Infinity, End: Infinity}[event.key];
    if (!row || step === undefined || event.target.matches("input[type=text]")) return;
    event.preventDefault();
    this.focus(Math.min(this.items.length - 1, Math.max(0, row.at + step)));
  }

  focus(i) {
    const height = this.height(), top = i * height;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + height > this.element.scrollTop + this.tall())
      this.element.scrollTop = top + height - this.tall();
    this.draw();
    this.rows.get(this.key(this.items[i]))?.querySelector("a")?.focus();
  }
}
