"use strict";
(() => {
  const page = JSON.parse(document.getElementById("report-data").textContent);
  const { targets, shown, curves } = page.explore;
  const $ = (id) => document.getElementById(id);

  // A part {fixed, columns} -> one object a row.
  const rows = ({ fixed, columns }) =>
    Object.values(columns)[0].map((_, i) => {
      const row = { ...fixed };
      for (const [name, column] of Object.entries(columns)) row[name] = column[i];
      return row;
    });

  const datasets = {};
  for (const [name, parts] of Object.entries(page.datasets)) datasets[name] = parts.flatMap(rows);

  // Numbers as the rest of the page writes them: three figures, ties to even.
  const fixed = (x, digits) => {
    const [whole, rest] = x.toFixed(60).split(".");
    const down = Number(`${whole}.${rest.slice(0, digits)}`);
    const tie = /^50*$/.test(rest.slice(digits));
    return (tie && Math.round(down * 10 ** digits) % 2 === 0 ? down : x).toFixed(digits);
  };
  const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  const percent = (k, n) => {
    if (!n) return "–";
    const value = 100 * (k / n);
    const digits = value === 0 || value === 100 ? 0 : value >= 10 ? 1 : 2;
    return `${fixed(value, digits)}\u00a0%`;
  };

  // The sliders: what was moved last, a target risk or a threshold of the curve selected.
  // It starts at the fitted threshold, where there is one.
  const chosen = Number($("curve").value);
  const state = { moved: curves[chosen].fitted < 0 ? "target" : "threshold", curve: chosen };

  const positions = () => {
    if (state.moved === "target") {
      const r = Number($("target").value);
      return curves.map((c) => c.at_target[r]);
    }
    const own = curves[state.curve], at = Number($("threshold").value);
    const coverage = own.accepted[at] / own.n;
    return curves.map((c, i) => {
      if (i === state.curve) return at;
      const first = c.accepted.findIndex((k) => k / c.n >= coverage);
      return first < 0 ? c.accepted.length - 1 : first;
    });
  };

  const cell = (row, text, label, tag = "td") => {
    const td = document.createElement(tag);
    td.textContent = text;
    if (label) td.dataset.label = label;
    if (tag === "th") td.scope = "row";
    row.append(td);
    return td;
  };
  const labels = [...$("outcome").tHead.rows[0].cells].map((th) => th.textContent);

  const limit = (c, at) => {
    if (!c.limits || at < 0) return null;
    const point = c.limits.of[at];
    if (point < 0) return null;
    const position = c.limits.position[point];
    return { shown: c.limits.shown[point], upper: c.limits.upper[point], position };
  };

  const outcome = (at) => {
    const r = Number($("target").value), limited = labels.length > 7;
    const body = $("outcome").tBodies[0];
    body.replaceChildren(...curves.map((c, i) => {
      const row = document.createElement("tr"), k = at[i];
      row.style.setProperty("--tint", c.colour);
      if (i === state.curve) row.className = "selected";
      cell(row, c.name, "", "th");
      const accepted = k < 0 ? 0 : c.accepted[k], errors = k < 0 ? 0 : c.errors[k];
      const figures = [
        k < 0 ? "none" : c.rules[k], percent(accepted, c.n), count(accepted),
        count(c.n - accepted), count(errors), percent(errors, accepted),
      ];
      figures.forEach((text, j) => cell(row, text, labels[j + 1]));
      if (limited) {
        const found = limit(c, k), kept = c.limits ? c.limits.of_target[r] : -1;
        cell(row, found ? found.shown : "none", labels[7]);
        cell(row, kept < 0 ? "none" : percent(c.accepted[kept], c.n), labels[8]);
      }
      return row;
    }));
  };

  const say = (at) => {
    const c = curves[state.curve], k = at[state.curve], r = Number($("target").value);
    const confidence = page.explore.confidence;
    const now = state.moved === "target" ? `, a risk of at most ${shown[r]}` : "";
    $("said-now").textContent = k < 0
      ? `${c.name}${now}: no threshold reaches it.`
      : `${c.name}${now}: accept from ${c.rules[k]}. On ${page.explore.measured} that accepts `
        + `${percent(c.accepted[k], c.n)} (${count(c.accepted[k])} of ${count(c.n)}), and `
        + `${percent(c.errors[k], c.accepted[k])} of these are wrong (${count(c.errors[k])}). `
        + `This sentence describes ${page.explore.measured}; it guarantees nothing.`;
    const found = limit(c, k), everything = c.errors.at(-1) / c.n;
    const idle = found && found.upper >= everything;
    $("said-limit").textContent = !c.limits || k < 0 ? "" : !found
      ? "No limit holds here: the threshold is stricter than any that the calibration split can limit."
      : idle
      ? "The calibration split limits nothing here: the limit of the risk, "
        + `${found.shown}${c.whose}, is not below the ${percent(c.errors.at(-1), c.n)} `
        + `of ${page.explore.measured} that are wrong when everything is accepted.`
      : `Guarantee after looking: deploy ${c.rules[found.position]}, `
        + (found.position === k ? "which has a limit of its own" : "the next stricter threshold with a limit")
        + `. With ${confidence} confidence at most ${found.shown} of what it accepts are wrong${c.whose}, `
        + "although you chose it by looking: the limits of all thresholds and curves of this page "
        + "hold at once.";
    $("said-limit").className = found && !idle ? "guaranteed" : "described";
    $("said-fitted").textContent = c.fitted < 0 ? "" : c.void
      ? "The fitted threshold has no guarantee: it is void."
      : `Guarantee before looking: it holds for the fitted threshold, ${c.rules[c.fitted]}, only: with `
        + `${confidence} confidence at most ${page.explore.target} of what it accepts are wrong${c.whose}. `
        + (k === c.fitted ? "The slider is at this threshold." : "The sliders are elsewhere.");
    $("matched").textContent = state.moved === "target"
      ? `For each curve the largest coverage with a risk of at most ${shown[r]} on `
        + `${page.explore.measured}.`
      : "The other curves are at the next coverage, at least as large, that their slider stops at.";
  };

  const who = (k) => {
    const select = $("kind");
    if (!select) return;
    const tables = curves[state.curve].tables;
    if (select.options.length !== tables.length) {
      select.replaceChildren(...tables.map((t) => new Option(t.kind)));
    }
    const table = tables[select.selectedIndex] || { names: [] };
    $("who").tBodies[0].replaceChildren(...table.names.map((name, g) => {
      const row = document.createElement("tr"), n = table.size[g];
      const accepted = k < 0 ? 0 : table.accepted[g][k], errors = k < 0 ? 0 : table.errors[g][k];
      cell(row, name, "", "th");
      [count(n), count(accepted), percent(accepted, n), count(errors), percent(errors, accepted)]
        .forEach((text) => cell(row, text));
      return row;
    }));
  };

  const views = {};
  const mark = (at) => {
    const c = curves[state.curve];
    const point = (c, k) => ({
      model: c.model, score: c.name, colour: c.colour, threshold: c.threshold[k],
      coverage: c.accepted[k] / c.n, risk: c.errors[k] / c.accepted[k],
    });
    const now = curves.flatMap((c, i) => at[i] < 0 || !c.accepted[at[i]] ? [] : [point(c, at[i])]);
    const everything = c.errors.at(-1) / c.n;
    const limits = !c.limits ? [] : c.limits.position.flatMap((k, j) =>
      c.accepted[k] && c.limits.upper[j] < everything
        ? [{ ...point(c, k), upper: c.limits.upper[j] }] : []);
    const target = [{ risk: targets[Number($("target").value)] }];
    for (const id of ["curves-linear", "curves-log"]) {
      if (!views[id]) continue;
      views[id].data("now", now).data("limits", limits).data("target_risk", target).run();
    }
  };

  const update = () => {
    const c = curves[state.curve], slider = $("threshold");
    slider.max = c.threshold.length - 1;
    const at = positions(), k = at[state.curve];
    if (state.moved === "target") slider.value = Math.max(k, 0);
    const values = {
      target: shown[Number($("target").value)],
      threshold: k < 0 ? "none" : c.rules[k],
    };
    for (const [id, text] of Object.entries(values)) {
      $(`${id}-value`).textContent = text;
      $(id).setAttribute("aria-valuetext", text);
    }
    outcome(at), say(at), who(k), mark(at);
  };

  $("target").addEventListener("input", () => { state.moved = "target"; update(); });
  $("threshold").addEventListener("input", () => { state.moved = "threshold"; update(); });
  $("curve").addEventListener("change", (event) => {
    // The same target, or the coverage that this curve has beside the one selected before.
    const at = positions(), k = at[Number(event.target.value)];
    state.curve = Number(event.target.value);
    $("threshold").max = curves[state.curve].threshold.length - 1;
    $("threshold").value = Math.max(k, 0);
    update();
  });
  if ($("kind")) $("kind").addEventListener("change", update);
  $("threshold").max = curves[chosen].threshold.length - 1;
  $("threshold").value = Math.max(curves[chosen].fitted, 0);
  update();

  // `ast`: expressions are interpreted, so the page needs no eval.
  const options = {
    ast: true, actions: false, renderer: "svg", defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };

  // Vega names its elements by itself: one picture with a name says more than a hundred marks.
  const drawn = (element, label) => {
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", label);
    element.removeAttribute("aria-roledescription");
    element.querySelector("svg").setAttribute("aria-hidden", "true");
  };

  // A chart in a part that is closed has no width: it is drawn when its part is opened.
  const waiting = new Map(Object.entries(page.charts));
  const draw = () => {
    for (const [id, spec] of waiting) {
      const element = $(id), label = element.getAttribute("aria-label");
      if (element.closest("details:not([open])")) continue;
      waiting.delete(id);
      vegaEmbed(element, { ...spec, datasets }, options)
        .then(({ view }) => {
          views[id] = view;
          drawn(element, label);
          if (id.startsWith("curves-")) update();
        })
        .catch((error) => { element.textContent = `This chart could not be drawn: ${error.message}`; });
    }
  };
  const parts = document.querySelectorAll("details.part");
  if (matchMedia("(max-width: 44rem)").matches) for (const part of parts) part.open = false;
  for (const part of parts) part.addEventListener("toggle", draw);
  addEventListener("beforeprint", () => {
    for (const part of parts) part.open = true;
    draw();
  });
  draw();
})();
