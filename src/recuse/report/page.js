"use strict";
(() => {
  const page = JSON.parse(document.getElementById("report-data").textContent);

  // A part {fixed, columns} -> one object a row.
  const rows = ({ fixed, columns }) =>
    Object.values(columns)[0].map((_, i) => {
      const row = { ...fixed };
      for (const [name, column] of Object.entries(columns)) row[name] = column[i];
      return row;
    });

  const datasets = {};
  for (const [name, parts] of Object.entries(page.datasets)) datasets[name] = parts.flatMap(rows);

  // `ast`: expressions are interpreted, so the page needs no eval.
  const options = {
    ast: true, actions: false, renderer: "svg", defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };

  for (const [id, spec] of Object.entries(page.charts)) {
    const element = document.getElementById(id);
    vegaEmbed(element, { ...spec, datasets }, options).catch((error) => {
      element.textContent = `This chart could not be drawn: ${error.message}`;
    });
  }
})();
