// What is looked at in a graph shows all that led to it and all that follows from it.
export function traceGraphs(): void {
  for (const graph of document.querySelectorAll<SVGElement>("svg.graph")) {
    const edges = [...graph.querySelectorAll<SVGElement>(".edge")];
    const nodes = [...graph.querySelectorAll<SVGElement>("[data-node]")];
    const show = (key: string | undefined) => {
      const found = key === undefined ? null : related(key, edges);
      graph.classList.toggle("traced", found !== null);
      for (const node of nodes) node.classList.toggle("on", found?.has(node.dataset.node ?? "") ?? false);
      for (const { classList, dataset } of edges) {
        classList.toggle("on", found !== null && found.has(dataset.from ?? "") && found.has(dataset.to ?? ""));
      }
    };
    for (const node of nodes) {
      for (const kind of ["pointerenter", "focus"]) node.addEventListener(kind, () => show(node.dataset.node));
      for (const kind of ["pointerleave", "blur"]) node.addEventListener(kind, () => show(undefined));
    }
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
