// What the server is still at work on (data-pending) is asked for again until it is there.
import { fetchPage, swap } from "./swap";

const AGAIN_MS = 1200;

export function awaitPending(): void {
  const again = async () => {
    if (!document.querySelector("[data-pending]")) return;
    const fresh = document.hidden ? null : await fetchPage(location.href).catch(() => null);
    if (fresh) swap(fresh, "main");
    setTimeout(again, AGAIN_MS);
  };
  setTimeout(again, AGAIN_MS);
}
