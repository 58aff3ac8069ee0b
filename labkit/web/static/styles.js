/**
 * Opens a terminal of xterm.js on a page whose policy allows neither <style> elements nor style attributes made of text,
 * so that nothing that somebody says can become one. What a script sets by the objects that stand for styles
 * (CSSStyleSheet, element.style) is allowed; here xterm's goes that way.
 *
 * xterm has no option for it. It makes its <style> elements within `open`, and one method of its row factory sets the
 * style of a cell. Its version is fixed to the byte, and tests/browser/test_styles.py looks at both.
 */

/**
 * As `terminal.open(host)`.
 * @param {any} terminal xterm's Terminal @param {HTMLElement} host
 */
export function openWithStyles(terminal, host) {
  const create = document.createElement;
  // an own property, which hides the prototype's for as long as this one call takes
  document.createElement = (/** @type {string} */ name) => (name === "style" ? placeOfSheet() : create.call(document, name));
  try {
    terminal.open(host);
  } finally {
    Reflect.deleteProperty(document, "createElement");
  }
  const rows = terminal._core._renderService._renderer.value._rowFactory;
  rows._addStyle = (/** @type {HTMLElement} */ cell, /** @type {string} */ style) => (cell.style.cssText += style);
}

/** What stands for a <style> element: an element that shows nothing, whose text is that of a sheet of the page. */
function placeOfSheet() {
  const sheet = new CSSStyleSheet();
  const place = document.createElement("template");
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(place, "textContent", { set: (text) => sheet.replaceSync(text) });
  place.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(place);
  };
  return place;
}
