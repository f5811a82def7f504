// On a narrow screen names and columns run out of sight: what is shown or chosen is brought into it.
export function showCurrent(): void {
  for (const nav of document.querySelectorAll<HTMLElement>(".top nav, .tabs, .scroll")) {
    const here = nav.querySelector<HTMLElement>("[aria-current]");
    if (!here || nav.scrollWidth <= nav.clientWidth) continue;
    const [all, own] = [nav.getBoundingClientRect(), here.getBoundingClientRect()];
    nav.scrollLeft += own.left + own.width / 2 - (all.left + all.width / 2);
  }
}
