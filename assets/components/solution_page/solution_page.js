// A page of its own around the credit view: fills in what stands beside it and keeps the selection in the address.

import mountCreditView from "../credit_view/credit_view.js";
import { element } from "../shared/elements.js";

const solution = JSON.parse(document.getElementById("solution").textContent);
const lastToken = solution.payload.text.length - 1;

function fillPage({ title, verdict, facts, code }) {
  document.title = title;
  document.querySelector("h1").textContent = title;
  document.querySelector(".page-verdict").textContent = verdict;
  document.querySelector(".page-about dl").append(
    ...facts.flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]),
  );
  document.querySelector(".page-code").append(
    ...Object.entries(code).flatMap(([name, text]) => [element("h3", "", name), element("pre", "", text)]),
  );
}

// #token=17&lens=kl opens the page there; anything else in the address is passed over.
function selectionOfAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const token = /^\d+$/.test(asked.get("token") ?? "") ? Number(asked.get("token")) : -1;
  const known = solution.payload.lenses.some((lens) => lens.key === asked.get("lens"));
  return {
    token: token >= 0 && token <= lastToken ? token : solution.payload.token,
    lens: known ? asked.get("lens") : solution.payload.lens,
  };
}

function show() {
  mountCreditView({
    parentElement: document.querySelector("main"),
    data: [{ ...solution.payload, ...selectionOfAddress() }],
    setStateValue: (name, { token, lens }) => history.replaceState(null, "", `#token=${token}&lens=${lens}`),
  });
}

fillPage(solution.page);
show();
addEventListener("hashchange", show);
