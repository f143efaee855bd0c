// Controls and pictures that a screen reader could not name.
() => [...document.querySelectorAll("button, select, input, textarea, a, canvas")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(each.ariaLabel || each.textContent.trim() || each.labels?.length || each.closest("[role=img][aria-label]")))
  .map((each) => each.outerHTML.slice(0, 80))
