// Takes parts of a page from a newer copy of it, so that nothing else on it moves.
export async function fetchPage(address: string, signal?: AbortSignal): Promise<Document | null> {
  const answer = await fetch(address, { headers: { accept: "text/html" }, signal });
  if (!answer.ok || answer.redirected) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

export function swap(fresh: Document, selector: string): void {
  const old = document.querySelector(selector);
  const next = fresh.querySelector(selector);
  if (!old || !next || old.innerHTML === next.innerHTML) return;
  const open = [...old.querySelectorAll("details")].map((each) => each.open);
  old.replaceChildren(...next.childNodes);
  old.querySelectorAll("details").forEach((each, place) => (each.open = open[place] ?? each.open));
}
