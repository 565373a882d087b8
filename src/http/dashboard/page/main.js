// Starts the page: views first, so that nothing that the streams bring is missed.

import { startAccess } from "./access.js";
import { startCluster } from "./cluster.js";
import { startConfirm } from "./confirm.js";
import { byId } from "./dom.js";
import { startDrill } from "./drill.js";
import { guardDrops, revealButtons } from "./drop.js";
import { startFind } from "./find.js";
import { startHide } from "./hide.js";
import { startLoad } from "./load.js";
import { startRecords } from "./records.js";
import { startRing } from "./ring.js";
import { startRouter } from "./router.js";
import { startStreams } from "./streams.js";
import { startTimeline } from "./timeline.js";

function startThemeSwitch() {
  const { choices, get, set } = globalThis.stegclusterTheme;
  const select = byId("theme");
  select.value = get();
  select.addEventListener("change", () => set(choices.includes(select.value) ? select.value : "system"));
}

startThemeSwitch();
startAccess();
startConfirm();
guardDrops();
revealButtons();
startCluster();
startRing();
startTimeline();
startHide();
startFind();
startLoad();
startDrill();
startRecords();
startRouter();
startStreams();
