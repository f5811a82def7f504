// The islands: what pages gain where JavaScript runs. Each page is whole without them.
import "uplot/dist/uPlot.min.css";
import { copyOnClick } from "./copy";
import { filterAsTyped } from "./filter";
import { keys } from "./keys";
import { LineChart } from "./line_chart";
import { follow } from "./live";
import { showCurrent } from "./nav";
import { awaitPending } from "./pending";
import { traceGraphs } from "./trace";

showCurrent();
customElements.define("line-chart", LineChart);
copyOnClick();
filterAsTyped();
keys();
traceGraphs();
follow();
awaitPending();
