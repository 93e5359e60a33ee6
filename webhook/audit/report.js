"use strict";
// Filters the rows. The fragment of the address holds the filter, so that a link or a reload shows the same rows.

const form = document.getElementById("filter");
const text = document.getElementById("text");
const namespace = document.getElementById("namespace");
const verdicts = [...form.querySelectorAll("[name=verdict]")];
const lower = (element) => (element ? element.textContent.toLowerCase() : "");

// What is searched is read once: the page never changes.
const groups = [...document.querySelectorAll(".group")].map((section) => ({
  section,
  verdict: section.dataset.verdict,
  rows: [...section.querySelectorAll(".row")].map((row) => {
    const members = [...row.querySelectorAll(".members > li")];
    const names = members.length ? members : [row];
    return {
      row,
      more: row.querySelector(".more"),
      moreText: row.querySelector(".more")?.textContent,
      common: `${lower(row.querySelector(".reason"))} ${lower(row.querySelector(".findings"))}`,
      workloads: names.map((element) => ({
        element,
        namespace: element.dataset.namespace,
        name: members.length
          ? lower(element)
          : [".cluster", ".namespace", ".title"].map((each) => lower(row.querySelector(each))).join(" "),
      })),
    };
  }),
}));

function filterRows() {
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = verdicts.filter((box) => box.checked).map((box) => box.value);
  let all = 0;
  let shown = 0;
  for (const group of groups) {
    const wanted = !chosen.length || chosen.includes(group.verdict);
    let ofGroup = 0;
    for (const each of group.rows) {
      let ofRow = 0;
      for (const workload of each.workloads) {
        const fits =
          wanted &&
          (!namespace.value || workload.namespace === namespace.value) &&
          words.every((word) => workload.name.includes(word) || each.common.includes(word));
        workload.element.hidden = !fits;
        ofRow += fits;
      }
      each.row.hidden = !ofRow;
      if (each.more) {
        each.more.textContent =
          ofRow === each.workloads.length ? each.moreText : `${each.moreText}, ${ofRow} of them match`;
      }
      all += each.workloads.length;
      ofGroup += ofRow;
    }
    group.section.hidden = !ofGroup;
    shown += ofGroup;
  }
  document.getElementById("shown").textContent = `${shown} of ${all} workloads shown`;
}

function writeFragment() {
  const values = {
    text: text.value,
    namespace: namespace.value,
    verdict: verdicts.filter((box) => box.checked).map((box) => box.value).join(","),
  };
  const filled = Object.entries(values).filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(filled)}`);
}

function readFragment() {
  const values = new URLSearchParams(location.hash.slice(1));
  const chosen = (values.get("verdict") ?? "").split(",");
  text.value = values.get("text") ?? "";
  namespace.value = values.get("namespace") ?? "";
  if (namespace.selectedIndex < 0) namespace.value = "";
  for (const box of verdicts) box.checked = chosen.includes(box.value);
  filterRows();
}

function openRows(open) {
  for (const details of document.querySelectorAll(".row:not([hidden]) > details")) details.open = open;
}

// Leads to a place on the page without a change of the fragment.
function follow(event) {
  const link = event.target.closest("a[href^='#']");
  if (!link) return;
  event.preventDefault();
  const target = document.getElementById(link.hash.slice(1));
  for (const part of target.parentElement.querySelectorAll(":scope > .part")) part.open = target.matches("h3");
  target.scrollIntoView();
  target.focus();
}

form.addEventListener("input", () => { writeFragment(); filterRows(); });
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", (event) => {
  event.preventDefault();
  history.replaceState(null, "", "#");
  readFragment();
});
document.getElementById("open").addEventListener("click", () => openRows(true));
document.getElementById("close").addEventListener("click", () => openRows(false));
document.addEventListener("click", follow);
addEventListener("hashchange", readFragment);
form.hidden = false;
readFragment();
