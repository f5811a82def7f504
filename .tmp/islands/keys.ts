// Keys: / searches, j and k walk through what is listed, a takes the first button of it.
const ITEMS = "main article.card h3 a, main tbody th[scope=row] a, main .options li .button";

export function keys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
    if (event.key === "/") {
      event.preventDefault();
      document.querySelector<HTMLInputElement>("[data-search]")?.focus();
    } else if (event.key === "j" || event.key === "k") {
      step(event.key === "j" ? 1 : -1);
    } else if (event.key === "a") {
      const card = document.activeElement?.closest("article.card, li, tr");
      card?.querySelector<HTMLAnchorElement>(".button")?.focus();
    }
  });
}

function isField(target: EventTarget | null): boolean {
  return target instanceof Element && target.matches("input, textarea, select");
}

function step(by: number): void {
  const items = [...document.querySelectorAll<HTMLElement>(ITEMS)];
  if (!items.length) return;
  const at = items.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? (by > 0 ? 0 : items.length - 1) : at + by;
  items[Math.min(Math.max(next, 0), items.length - 1)]?.focus();
}
