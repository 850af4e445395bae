"use strict";
// Draws recordings over time, and days as a calendar, for one label at a time; lists the
// gaps and overlaps of recorders.
(() => {
  const { data, $, element, unpack, plain, number, shorten, clock, dateText, colour, layout, withoutToolbar, draw, player, addSection } = report;
  const DAY_S = 86400, MAX_FILLED_DAYS = 1100;
  let model, overview;

  const two = (value) => String(value).padStart(2, "0");
  const minuteText = (value) => `${Math.floor(value / 3600)}:${two(Math.floor(value / 60) % 60)}`;
  const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;
  // Short for seconds, exact for what is long.
  function lengthText(value) {
    if (value < 59.95) return `${Math.round(value * 10) / 10} s`;
    const whole = Math.round(value), [many, one] = whole < 3600 ? [60, ["min", "s"]] : [3600, ["h", "min"]];
    const rest = Math.floor((whole % many) / (many / 60));
    return `${Math.floor(whole / many)} ${one[0]}` + (rest ? ` ${rest} ${one[1]}` : "");
  }
  const timeText = (local, offset) => `${dateText(local)} ${offset}`.trim();
  const end = (text, size) => (text.length > size ? "…" + text.slice(1 - size) : text);
  const isNarrow = () => document.documentElement.clientWidth < 700;

  // A heat map whose background, where there is no audio, is grey.
  function drawRows(id, trace, xaxis, yaxis, height) {
    const axis = { showgrid: false, zeroline: false, ticks: "outside", tickcolor: colour("line") };
    const narrow = isNarrow(), bottom = narrow ? 45 : 10;
    const look = layout({ xaxis: { ...axis, side: "top", ...xaxis }, yaxis: { ...axis, autorange: "reversed", tickfont: { size: 11 }, ...yaxis }, margin: { l: 10, r: 5, t: 40, b: bottom }, height: height + bottom });
    $(id).style.height = `${look.height}px`;
    look.plot_bgcolor = colour("nothing");
    const place = narrow ? { orientation: "h", y: 0, yanchor: "top", len: 0.9 } : { x: 1.01, xpad: 2, len: Math.min(1, 260 / height), y: 1, yanchor: "top" };
    const bar = { thickness: 10, outlinewidth: 0, lenmode: "fraction", ...place, ...trace.colorbar };
    return draw(id, [{ type: "heatmap", colorscale: "Viridis", zmin: 0, zmax: 1, hoverongaps: false, hovertemplate: "%{text}<extra></extra>", ...trace, colorbar: bar }], look, withoutToolbar);
  }
  function hourTicks(length) {
    const every = [60, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200].find((s) => length / s <= (isNarrow() ? 5 : 13)) || 86400;
    const tickvals = Array.from({ length: Math.floor(length / every) + 1 }, (_, i) => i * every);
    return { tickvals, ticktext: tickvals.map(minuteText) };
  }

  // ---- by recording
  function drawRecordings() {
    const found = overview.recordings;
    $("by-recording").hidden = !found;
    if (!found) return;
    const { column_s: step, files, num_all: all } = found, label = Number($("overview-label").value);
    found.values = found.values || unpack(found.highest, Uint8Array);
    const total = files.reduce((sum, file) => sum + file[3], 0), most = Math.max(...files.map((file) => file[3]));
    const z = [], text = [];
    let begin = label * total;
    for (const [, name, , count, local, offset] of files) {
      const codes = found.values.subarray(begin, begin + count), row = new Array(most).fill(null), hints = new Array(most).fill("");
      codes.forEach((code, i) => {
        if (!code) return;
        row[i] = (code - 1) / 254;
        const at = local === null ? "" : `<br>${timeText(local + i * step, offset)}`;
        hints[i] = `${plain(shorten(name, 60))}<br>${clock(i * step)}: ${row[i].toFixed(2)}${at}`;
      });
      z.push(row);
      text.push(hints);
      begin += count;
    }
    const edges = Array.from({ length: most + 1 }, (_, i) => i * step);
    const yaxis = { tickvals: files.map((_, i) => i), ticktext: files.map((file) => plain(end(file[1].replace(/\.\w+$/, ""), isNarrow() ? 13 : 30))) };
    const xaxis = { title: { text: "time in the recording (h:min)" }, ...hourTicks(edges[most]) };
    const rows = files.length, height = 60 + Math.max(70, rows * (rows > 30 ? 14 : 22));
    const what = overview.has_patches ? "highest activation" : "highest score of an event";
    drawRows("recording-chart", { x: edges, y: files.map((_, i) => i), z, text, colorbar: { tickvals: [0, 0.5, 1] } }, xaxis, yaxis, height).then((chart) => {
      chart.removeAllListeners("plotly_click");
      chart.on("plotly_click", (event) => hear(files[event.points[0].y], event.points[0].x));
    });
    const limited = rows < all ? `${number(rows)} of ${counted(all, "recording", "recordings")} of over two minutes: those with the most event time` : `${counted(all, "recording", "recordings")} of over two minutes`;
    $("by-recording-note").textContent = `${limited}. Colour: the ${what} in each ${lengthText(step)}; grey: no audio. ${overview.has_patches ? "" : "The dataset has no activations of patches: there are values where events are. "}Click to play from there, drag to zoom, double-click to reset.`;
  }
  function hear([folder, name, length], middle) {
    const start = Math.max(0, Math.min(middle - overview.recordings.column_s / 2, length - 1));
    const note = element("p", undefined, { class: "quiet" });
    const audio = player(folder, name, `#t=${start.toFixed(3)}`, note, "Audio of the recording");
    $("recording-open").hidden = false;
    $("recording-open").textContent = `${name} from ${clock(start)}`;
    $("recording-player").replaceChildren(...(audio ? [audio, note] : [note]));
    if (audio) audio.play().catch(() => {});
  }

  // ---- calendar
  // Values of the chosen recorder, or of all of them: a row of cells for every day.
  function calendarRows(found, label) {
    const perDay = DAY_S / found.step_s, chosen = $("recorder").value, rows = new Map();
    const numCells = found.days.reduce((sum, days) => sum + days.length, 0) * perDay;
    let begin = 0;
    found.days.forEach((days, recorder) => {
      if (chosen === "" || Number(chosen) === recorder) {
        days.forEach((day, k) => {
          if (!rows.has(day)) rows.set(day, { highest: new Float32Array(perDay).fill(-1), time: new Float32Array(perDay), audio: new Float32Array(perDay) });
          const row = rows.get(day);
          for (let i = 0; i < perDay; i++) {
            const at = begin + k * perDay + i, code = found.highestOf[label * numCells + at];
            if (code) row.highest[i] = Math.max(row.highest[i], (code - 1) / 254);
            row.time[i] += (found.timeOf[label * numCells + at] / 255) ** 2 * found.step_s;
            row.audio[i] += (found.audioOf[at] / 255) ** 2 * found.step_s;
          }
        });
      }
      begin += days.length * perDay;
    });
    return rows;
  }
  function shownDays(rows) {
    const days = [...rows.keys()].sort((a, b) => a - b), first = days[0], count = days[days.length - 1] - first + 1;
    // A clock that was wrong may be decades away.
    return count > MAX_FILLED_DAYS ? days : Array.from({ length: count }, (_, i) => first + i);
  }
  function drawCalendar() {
    const found = overview.calendar;
    $("by-day").hidden = !found;
    if (!found) return;
    found.highestOf = found.highestOf || unpack(found.highest, Uint8Array);
    found.timeOf = found.timeOf || unpack(found.event_time, Uint8Array);
    found.audioOf = found.audioOf || unpack(found.audio, Uint8Array);
    const rows = calendarRows(found, Number($("overview-label").value)), days = shownDays(rows);
    const step = found.step_s, perDay = DAY_S / step, ofTime = $("by-day-value").value === "time";
    const dates = days.map((day) => dateText(day * DAY_S).slice(0, 10));
    const z = [], text = [];
    days.forEach((day, k) => {
      const row = rows.get(day);
      z.push(Array.from({ length: perDay }, (_, i) => (!row || !row.audio[i] ? null : ofTime ? Math.sqrt(Math.min(1, row.time[i] / row.audio[i])) : row.highest[i] < 0 ? null : row.highest[i])));
      text.push(Array.from({ length: perDay }, (_, i) => (!row || !row.audio[i] ? "" : `${dates[k]}, ${minuteText(i * step)} to ${minuteText((i + 1) * step)}<br>${row.highest[i] < 0 ? "no results" : `highest ${row.highest[i].toFixed(2)}`}, events in about ${lengthText(row.time[i])}<br>of about ${lengthText(row.audio[i])} of audio`)));
    });
    const ticks = dayTicks(days, dates);
    const edges = Array.from({ length: perDay + 1 }, (_, i) => i * step);
    const height = 60 + Math.max(70, days.length * (days.length <= 31 ? 20 : days.length <= 100 ? 7 : Math.max(1.2, 730 / days.length)));
    const percent = height < 250 ? [0, 10, 100] : [0, 1, 10, 50, 100];
    const colorbar = ofTime ? { tickvals: percent.map((p) => Math.sqrt(p / 100)), ticktext: percent.map((p) => `${p} %`) } : { tickvals: [0, 0.5, 1] };
    drawRows("calendar-chart", { x: edges, y: days.map((_, k) => k), z, text, colorbar }, { title: { text: "time of day" }, range: [0, DAY_S], ...hourTicks(DAY_S) }, ticks, height);
    const offsets = Object.keys(found.offsets), zones = offsets.map((offset) => (offset ? `UTC${offset}` : "local time, zone unknown"));
    const limited = found.recorders.length < found.num_recorders ? ` ${number(found.recorders.length)} of ${number(found.num_recorders)} recorders: those with most audio.` : "";
    const filled = days.length < rows.size || days[days.length - 1] - days[0] + 1 === days.length ? "" : " Days without audio are left out.";
    $("by-day-note").textContent = `One line a day. Colour: the ${ofTime ? "share of the audio in which events are" : overview.has_patches ? "highest activation" : "highest score of an event"} in each ${lengthText(step)}; grey: no audio. Times are those of the recorders' clocks (${zones.join("; ")}).${filled}${limited}`;
  }
  // Every day, every Monday, or the first of every month.
  function dayTicks(days, dates) {
    const count = days.length;
    const is = count <= 31 ? () => true : count <= 100 ? (day) => (((day + 3) % 7) + 7) % 7 === 0 : (_, date) => date.endsWith("-01");
    let places = days.map((_, k) => k).filter((k) => is(days[k], dates[k]));
    if (places.length > 40) places = places.filter((k) => /-(01|07)-01$/.test(dates[k]));
    return { tickvals: places, ticktext: places.map((k) => dates[k]) };
  }

  // ---- coverage
  function showCoverage() {
    const found = data.coverage;
    $("coverage").hidden = !found;
    if (!found) return;
    const unknown = found.num_unknown ? ` The ${found.num_unknown === 1 ? "time of 1 file is" : `times of ${number(found.num_unknown)} files are`} not known.` : "";
    $("coverage-note").textContent = `${counted(found.num_gaps, "gap", "gaps")} and ${counted(found.num_overlaps, "overlap", "overlaps")} in ${counted(found.num_recorders, "recorder", "recorders")}.${unknown}`;
    const zoneless = found.recorders.some((row) => !row[3]) ? " Times without an offset are local times, their zone is unknown: a change of the clocks looks like a gap or an overlap." : "";
    $("coverage-how").textContent = `A recorder is a folder of files; folders named by dates count as one. A gap is a pause of over 2 s that is also over 1.5 times the usual pause of the recorder (the median). An overlap: a file starts over 2 s before another one ends.${zoneless}`;
    // Columns with times and with numbers are not broken into lines.
    const line = (cells, times, numbers) => {
      const row = element("tr");
      row.append(...cells.map((cell, i) => element("td", cell, { class: times.includes(i) ? "time" : numbers.includes(i) ? "number" : "" })));
      return row;
    };
    $("recorder-rows").replaceChildren(...found.recorders.map(([name, files, first, firstOffset, last, lastOffset, audio, pause, gaps, overlaps]) =>
      line([name, timeText(first, firstOffset), timeText(last, lastOffset), number(files), (audio / 3600).toFixed(audio < 36000 ? 2 : 1), pause ? lengthText(pause) : "none", number(gaps), number(overlaps)], [1, 2], [3, 4, 5, 6, 7])));
    for (const [id, one, many, all] of [["gaps", "gap", "gaps", found.num_gaps], ["overlaps", "overlap", "overlaps", found.num_overlaps]]) {
      const rows = found[id];
      $(id).hidden = !rows.length;
      $(id).querySelector("summary").textContent = rows.length < all ? `The longest ${number(rows.length)} of ${number(all)} ${many}` : counted(all, one, many);
      $(id).querySelector("tbody").replaceChildren(...rows.map(([name, local, offset, length, before, after]) => line([name, timeText(local, offset), lengthText(length), before, after], [1], [2])));
    }
  }

  // ---- start
  function drawAll() {
    if (!overview) return;
    drawRecordings();
    drawCalendar();
  }
  function show(chosen) {
    model = chosen;
    overview = model.overview;
    $("recordings").hidden = $("recordings-link").hidden = !overview && !data.coverage;
    $("overview").hidden = !overview;
    if (!overview) return;
    $("overview-label").replaceChildren(...overview.labels.map((index, i) => element("option", `${model.labels[index]} (${counted(overview.num_events[i], "event", "events")}, ${lengthText(overview.event_s[i])})`, { value: i })));
    const limited = overview.labels.length < overview.num_labels ? `The ${overview.labels.length} of ${overview.num_labels} labels with events that have the most event time` : `All ${counted(overview.num_labels, "label", "labels")} with events`;
    $("overview-note").textContent = `${limited} can be shown (${model.events.settings}).`;
    if (overview.calendar) {
      const names = overview.calendar.recorders;
      $("recorder").replaceChildren(...(names.length > 1 ? [element("option", "all recorders", { value: "" })] : []), ...names.map((name, i) => element("option", name, { value: i })));
    }
    $("recording-player").replaceChildren();
    $("recording-open").hidden = true;
    drawAll();
  }
  $("overview-label").addEventListener("change", drawAll);
  for (const name of ["recorder", "by-day-value"]) $(name).addEventListener("change", drawCalendar);
  showCoverage();
  addSection(show, drawAll);
  document.documentElement.dataset.ready = "yes";
})();
