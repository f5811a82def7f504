// What is looked at in a graph shows all that led to it and all that follows from it.
export function traceGraphs(): void {
  let looked: SVGElement | null = null;
  const look = (at: EventTarget | null) => {
    const node = at instanceof Element ? at.closest<SVGElement>("svg.graph [data-node]") : null;
    if (node === looked) return;
    if (looked) show(looked, false);
    if (node) show(node, true);
    looked = node;
  };
  document.addEventListener("pointerover", (event) => look(event.target));
  document.addEventListener("focusin", (event) => look(event.target));
  document.addEventListener("focusout", () => look(null));
}

function show(node: SVGElement, is: boolean): void {
  const graph = node.closest("svg.graph");
  if (!graph) return;
  const edges = [...graph.querySelectorAll<SVGElement>(".edge")];
  const found = is ? related(node.dataset.node ?? "", edges) : null;
  graph.classList.toggle("traced", is);
  for (const { classList, dataset } of graph.querySelectorAll<SVGElement>("[data-node]")) {
    classList.toggle("on", found?.has(dataset.node ?? "") ?? false);
  }
  for (const { classList, dataset } of edges) {
    classList.toggle("on", found !== null && found.has(dataset.from ?? "") && found.has(dataset.to ?? ""));
  }
}

function related(key: string, edges: SVGElement[]): Set<string> {
  const found = new Set([key]);
  for (const [near, far] of [["from", "to"], ["to", "from"]] as const) {
    const waiting = [key];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for (const { dataset } of edges) {
        const next = dataset[near] === at ? dataset[far] : undefined;
        if (next === undefined || found.has(next)) continue;
        found.add(next);
        waiting.push(next);
      }
    }
  }
  return found;
}
