"use strict";
// Filters the tables of the lists, and shows one list at a time. Without it, the page shows all of them.
for (const panel of document.querySelectorAll(".tabs .panel")) {
  const filter = panel.querySelector(".filter");
  const input = filter.querySelector("input");
  const told = filter.querySelector("output");
  const rows = [...panel.querySelectorAll("tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  filter.hidden = false;
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !text.includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    told.textContent = wanted ? `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows` : "";
  });
}
const tabs = document.querySelector(".tabs");
const panels = tabs ? [...tabs.querySelectorAll(".panel")] : [];
if (panels.length > 1) {
  const list = document.createElement("div");
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", "Lists");
  const buttons = panels.map((panel) => {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `tab-${panel.id}`;
    button.textContent = panel.querySelector("h3").textContent;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    list.append(button);
    return button;
  });
  const show = (chosen, focus) => {
    buttons.forEach((button, number) => {
      button.setAttribute("aria-selected", String(number === chosen));
      button.tabIndex = number === chosen ? 0 : -1;
      panels[number].hidden = number !== chosen;
    });
    if (focus) buttons[chosen].focus();
  };
  buttons.forEach((button, number) => {
    button.addEventListener("click", () => show(number, false));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : step ? number + step : null;
      if (to === null) return;
      event.preventDefault();
      show((to + buttons.length) % buttons.length, true);
    });
  });
  tabs.prepend(list);
  tabs.classList.add("live");
  show(0, false);
}
