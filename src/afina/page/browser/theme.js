// Before the page is drawn, so that it does not flash in the wrong colours.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("afina-theme"); } catch { /* not allowed here */ }
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
