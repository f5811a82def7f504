// Takes parts of a page from a newer copy of it. What is the same stays where it is: the focus, what
// was scrolled, opened, chosen or zoomed.
export async function fetchPage(address: string, signal?: AbortSignal): Promise<Document | null> {
  const answer = await fetch(address, { headers: { accept: "text/html" }, signal });
  if (!answer.ok || answer.redirected) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

export function swap(fresh: Document, selector: string): void {
  const old = document.querySelector(selector);
  const next = fresh.querySelector(selector);
  if (!old || !next) return;
  const focused = document.activeElement;
  const followed = [...old.querySelectorAll("pre")].filter((each) => rest(each) < 4);
  renewChildren(old, next);
  for (const each of followed) each.scrollTop = each.scrollHeight;
  if (focused instanceof HTMLElement && focused.isConnected && focused !== document.activeElement) {
    focused.focus({ preventScroll: true }); // a node that is moved loses it
  }
}

// How far something that scrolls is from its end.
function rest(each: Element): number {
  return each.scrollHeight - each.scrollTop - each.clientHeight;
}

// What the viewer or an island changes on an element is not the server's to change back.
const THEIRS = new Set(["open", "aria-busy"]);

function renew(old: ChildNode, next: ChildNode): void {
  if (!(old instanceof Element) || !(next instanceof Element)) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  const attributes = [...next.attributes].filter((each) => !THEIRS.has(each.name));
  const same = attributes.every((each) => old.getAttribute(each.name) === each.value);
  if (old.localName.includes("-")) {
    if (!same) old.replaceWith(next); // an island draws its own children
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!THEIRS.has(name) && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  if (!same) for (const { name, value } of attributes) old.setAttribute(name, value);
  renewChildren(old, next);
}

function renewChildren(old: Element, next: Element): void {
  const named = new Map<string, ChildNode>();
  for (const each of old.childNodes) {
    const key = keyOf(each);
    if (key) named.set(key, each);
  }
  const kept = new Set([...next.childNodes].map(keyOf));
  for (const [key, each] of named) if (!kept.has(key)) each.remove();
  let at = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    const key = keyOf(wanted);
    const found = key ? named.get(key) : at && !keyOf(at) ? at : undefined;
    named.delete(key);
    if (!found || found.nodeName !== wanted.nodeName) {
      old.insertBefore(wanted, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else old.insertBefore(found, at);
    renew(found, wanted);
  }
  while (at) {
    const gone: ChildNode = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// What an element is about: a row, a card or a point of a list is that of its first link.
function keyOf(node: ChildNode): string {
  if (!(node instanceof Element)) return "";
  const own = node.id || node.getAttribute("aria-labelledby") || node.getAttribute("data-src");
  if (own) return own;
  return node.matches("tr, li, article") ? (node.querySelector("a[href]")?.getAttribute("href") ?? "") : "";
}
