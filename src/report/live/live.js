"use strict";
{
  // looks for news every two seconds and replaces the parts that differ, each alone
  const parts = document.getElementById("parts");
  const connection = document.getElementById("connection");
  const inReach = "a, button, input, summary, [tabindex]";
  const shown = new Map(); // as the server wrote them: what the reader's script adds does not count
  for (const part of parts.querySelectorAll("[data-part]")) shown.set(part.dataset.part, part.outerHTML);

  const replace = (old, part) => {
    const place = [...old.querySelectorAll(inReach)].indexOf(document.activeElement);
    old.replaceWith(part);
    enhance(part);
    if (place >= 0) part.querySelectorAll(inReach)[place]?.focus({ preventScroll: true });
  };
  const show = (text) => {
    const news = new DOMParser().parseFromString(text, "text/html");
    // where the report is the one that is shown, its parts are not sent again
    const alone = news.querySelector("[data-alone]") !== null;
    const there = new Map([...parts.children].map((part) => [part.dataset.part, part]));
    let before = null;
    for (const fresh of news.querySelectorAll("[data-part]")) {
      const [name, source, old] = [fresh.dataset.part, fresh.outerHTML, there.get(fresh.dataset.part)];
      there.delete(name);
      if (old && shown.get(name) === source) {
        before = old;
        continue;
      }
      const part = document.adoptNode(fresh);
      shown.set(name, source);
      if (old) {
        replace(old, part);
      } else {
        if (before) before.after(part);
        else parts.prepend(part);
        enhance(part);
      }
      if (part.dataset.title) document.title = part.dataset.title;
      before = part;
    }
    if (alone) return;
    for (const [name, gone] of there) {
      shown.delete(name);
      gone.remove();
    }
  };
  const look = async () => {
    let trouble = "";
    try {
      const seen = parts.querySelector("[data-version]")?.dataset.version ?? "";
      const answer = await fetch(parts.dataset.looksAt, { headers: { "Dgnet-Seen": seen }, cache: "no-store" });
      const text = await answer.text();
      if (answer.ok) show(text);
      else trouble = text;
    } catch {
      trouble = "The server does not answer: it was stopped, or it is too busy. Trying again.";
    }
    connection.hidden = trouble === "";
    connection.textContent = trouble;
  };
  const again = async () => {
    if (!document.hidden) await look();
    setTimeout(again, 2000);
  };
  if (parts.dataset.looksAt) setTimeout(again, 2000);
}
