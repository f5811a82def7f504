// On a narrow screen the pages' names run out of sight: the one that is shown is brought into it.
export function showCurrent(): void {
  for (const nav of document.querySelectorAll<HTMLElement>(".top nav, .tabs")) {
    const here = nav.querySelector<HTMLElement>("[aria-current]");
    if (!here || nav.scrollWidth <= nav.clientWidth) continue;
    const [all, own] = [nav.getBoundingClientRect(), here.getBoundingClientRect()];
    nav.scrollLeft += own.left + own.width / 2 - (all.left + all.width / 2);
  }
}
