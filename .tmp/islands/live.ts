// A page that says so (data-live: the kinds of changes it shows) is renewed when one comes.
import { fetchPage, swap } from "./swap";

const CALM_MS = 700;

export function follow(): void {
  const main = document.querySelector<HTMLElement>("main");
  const wanted = document.querySelector<HTMLElement>("[data-live]")?.dataset.live?.split(" ");
  if (!main || !wanted) return;
  showEnds(main);
  let timer = 0;
  const renew = async () => {
    timer = 0;
    if (busy(main)) return later();
    const fresh = await fetchPage(location.href).catch(() => null);
    if (!fresh || busy(main)) return;
    for (const part of document.querySelector("#results") ? ["#results", "#matched"] : ["main"]) swap(fresh, part);
  };
  const later = () => {
    timer ||= window.setTimeout(renew, CALM_MS);
  };
  let source: EventSource | null = null;
  let known = main.dataset.seq; // what the page as it was sent can know of
  const listen = () => {
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(known === undefined ? "/live" : `/live?after=${known}`);
    source.addEventListener("open", () => {
      if (known === undefined) later(); // nobody told what came in between
      known = undefined;
    });
    source.addEventListener("change", (event) => {
      const kind = JSON.parse((event as MessageEvent<string>).data).kind as string;
      if (wanted.includes(kind)) later();
    });
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}

// Of what is still being written, the end is looked at.
function showEnds(main: HTMLElement): void {
  for (const each of main.querySelectorAll("pre[data-follow]")) each.scrollTop = each.scrollHeight;
}

// Whoever types, selects or chooses is not disturbed.
function busy(main: HTMLElement): boolean {
  const active = document.activeElement;
  const typing = active instanceof Element && active.matches("main input, main textarea, main select");
  const selecting = !document.getSelection()?.isCollapsed;
  return typing || selecting || main.querySelector("input[name=run]:checked") !== null;
}
