"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const stored = () => { try { return localStorage.getItem("dfkdbench-theme") || "" } catch { return "" } };
  const store = (theme) => { try { localStorage.setItem("dfkdbench-theme", theme) } catch { /* kept for this page only */ } };
  const paint = (theme) => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme };
  paint(stored());

  const sortKey = (row, column, kind) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    if (kind === "text") return text.toLowerCase();
    const value = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(value) ? null : value;
  };

  // Bodies are leagues, and no row leaves its own. Rows without a figure stay last in either order, equal ones as they came.
  const sortBody = (body, column, kind, sign, places) => {
    const title = body.querySelector(".title");
    const rows = [...body.rows].filter((row) => row !== title).sort((one, other) => places.get(one) - places.get(other));
    const keys = new Map(rows.map((row) => [row, sortKey(row, column, kind)]));
    rows.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a < b ? -1 : a > b ? 1 : 0);
    });
    body.append(...(title ? [title] : []), ...rows);
  };

  const makeSortable = (table, say) => {
    const headings = all("thead tr:last-child > th", table);
    const places = new Map([...table.rows].map((row, place) => [row, place]));
    headings.forEach((heading, column) => {
      const kind = heading.dataset.sort;
      if (!kind) return;
      const button = document.createElement("button");
      const name = heading.querySelector("span");
      button.type = "button";
      name.replaceWith(button);
      button.append(name);
      button.addEventListener("click", () => {
        const now = heading.getAttribute("aria-sort");
        const first = heading.dataset.first ?? "ascending";
        const order = now ? (now === "ascending" ? "descending" : "ascending") : first;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", order);
        [...table.tBodies].forEach((body) => sortBody(body, column, kind, order === "ascending" ? 1 : -1, places));
        say(`Sorted by ${name.textContent}, ${order}.`);
      });
    });
  };

  const makeCopyable = (box, say) => {
    const code = box.querySelector("code");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${box.getAttribute("aria-label")}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        say("Copied.");
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
        say("Selected; copy it with the keyboard.");
      }
    });
    box.append(button);
  };

  const makeFilterable = (form, say) => {
    const cells = all("section.cell").map((section) => ({
      section,
      link: all("[data-cell]").find((item) => item.dataset.cell === section.id),
      rows: all(".ranking tr[data-row]", section),
      marked: all("[data-row]", section),
      groups: all("[data-group]", section),
      others: all("[data-league]:not([data-row])", section),
    }));
    const total = cells.reduce((sum, cell) => sum + cell.rows.length, 0);

    const apply = () => {
      const wanted = new FormData(form);
      const [pair, budget, league] = ["pair", "budget", "league"].map((name) => wanted.get(name));
      const seeds = Number(wanted.get("seeds"));
      const name = wanted.get("name").trim().toLowerCase();
      const narrowed = Boolean(league || seeds || name);
      let count = 0;
      for (const cell of cells) {
        const fits = (!pair || cell.section.dataset.pair === pair) && (!budget || cell.section.dataset.budget === budget);
        const kept = new Set();
        for (const row of cell.rows) {
          const { row: key, league: own, seeds: finished, name: method } = row.dataset;
          if ((!league || own === league) && Number(finished) >= seeds && method.toLowerCase().includes(name)) kept.add(key);
        }
        cell.marked.forEach((item) => item.classList.toggle("off", !kept.has(item.dataset.row)));
        cell.groups.forEach((group) => {
          const items = all("[data-row]", group);
          group.classList.toggle("off", items.length > 0 && items.every((item) => item.classList.contains("off")));
        });
        cell.others.forEach((item) => item.classList.toggle("off", Boolean(league) && item.dataset.league !== league));
        const shown = fits && (kept.size > 0 || !narrowed);
        cell.section.classList.toggle("off", !shown);
        cell.link?.classList.toggle("off", !shown);
        if (shown) count += kept.size;
      }
      say(total === 0 ? "" : count === total ? `All ${total} rows are shown.` : `${count} of ${total} rows are shown, and their controls.`);
    };

    for (const kind of ["input", "change"]) form.addEventListener(kind, apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => { paint(""); store(""); apply() }));
    form.elements.theme.value = stored();
    form.elements.theme.addEventListener("change", (event) => { paint(event.target.value); store(event.target.value) });
    form.hidden = false;
    apply();
  };

  // A row's details may lie in a cell that the filters hide.
  const reveal = (form) => {
    const target = document.querySelector(":target");
    if (!target?.closest(".off")) return;
    form.reset();
    setTimeout(() => target.scrollIntoView());
  };

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.getElementById("filters");
    const status = document.getElementById("shown");
    const say = (text) => { status.textContent = text };
    all("table").forEach((table) => makeSortable(table, say));
    all(".command").forEach((box) => makeCopyable(box, say));
    makeFilterable(form, say);
    addEventListener("hashchange", () => reveal(form));
  });
})();
