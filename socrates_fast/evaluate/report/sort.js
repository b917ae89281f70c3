"use strict";
// Tables of the class "sortable" sort by a click on a header. Without script they read as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const names = new Intl.Collator(undefined, { numeric: true });
  const text = (row, column) => row.cells[column].textContent.trim();
  const value = (row, column) => Number.parseFloat(text(row, column).replaceAll(",", ""));

  const compare = (column, sign) => (one, other) => {
    if (heads[column].dataset.kind === "text") return sign * names.compare(text(one, column), text(other, column));
    const [x, y] = [value(one, column), value(other, column)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // missing ones last, either way
    return sign * (x - y);
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...[...body.rows].sort(compare(column, down ? -1 : 1)));
    });
  });
}
