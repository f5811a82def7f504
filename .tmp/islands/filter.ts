// The table of runs follows its filter line as it is typed, and the address follows the table.
import { fetchPage, swap } from "./swap";

const PAUSE_MS = 60;
const SLOW_MS = 250;

export function filterAsTyped(): void {
  const form = document.querySelector<HTMLFormElement>("form[data-filter]");
  if (!form) return;
  let timer = 0;
  let running: AbortController | null = null;
  const busy = (is: boolean) => document.querySelector("#results")?.setAttribute("aria-busy", String(is));
  const show = async () => {
    running?.abort();
    const mine = (running = new AbortController());
    const words = new URLSearchParams(new FormData(form) as unknown as Record<string, string>);
    for (const [name, value] of [...words]) if (!value) words.delete(name);
    const slow = window.setTimeout(() => busy(true), SLOW_MS);
    const address = `${form.getAttribute("action")}?${words}`;
    try {
      const fresh = await fetchPage(address, mine.signal);
      if (!fresh) return;
      swap(fresh, "#results");
      swap(fresh, "#matched");
      swap(fresh, "#views");
      history.replaceState(null, "", address);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error; // a newer word overtook this one
    } finally {
      clearTimeout(slow);
      if (mine === running) {
        busy(false);
        running = null;
      }
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    // A letter that follows another waits a moment for the next; one that stands alone does not.
    if (running) timer = window.setTimeout(show, PAUSE_MS);
    else void show();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    void show();
  });
}
