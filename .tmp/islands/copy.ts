// A click on an id copies all of it.
export function copyOnClick(): void {
  document.addEventListener("click", async (event) => {
    const shown = (event.target as Element).closest<HTMLElement>("[data-copy]");
    if (!shown?.dataset.copy || !navigator.clipboard) return;
    await navigator.clipboard.writeText(shown.dataset.copy);
    shown.classList.add("copied");
    setTimeout(() => shown.classList.remove("copied"), 1200);
  });
}
