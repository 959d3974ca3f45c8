
(() => {
  'use strict';
  const live = document.getElementById('live');
  const lost = document.getElementById('lost');
  const tip = document.getElementById('tip');
  let seen = Date.now();
  let pointer = null;

  // The page comes anew every two seconds; what it shows takes the place of what was there.
  const refresh = async () => {
    if (document.hidden || getSelection().type === 'Range' || live.querySelector('details[open]') ||
      live.contains(document.activeElement) && document.activeElement.matches('input, button')) return;
    try {
      const reply = await fetch(location.href, {cache: 'no-store', signal: AbortSignal.timeout(5000)});
      if (!reply.ok) throw new Error(reply.status);
      const page = new DOMParser().parseFromString(await reply.text(), 'text/html');
      live.replaceChildren(...page.getElementById('live').childNodes);
      seen = Date.now();
      point();
    } catch {
      lost.textContent = 'No answer from the node for ' + Math.round((Date.now() - seen) / 1000) + ' s';
    }
    lost.hidden = Date.now() - seen < 4000;
    document.body.classList.toggle('stale', !lost.hidden);
  };
  setInterval(refresh, 2000);
  document.addEventListener('visibilitychange', refresh);

  // A value as the page shows it.
  const scaled = (v, base, units) => {
    let i = 0;
    for (; v >= base - 0.5 && i < units.length - 1; i++) v /= base;
    return v.toFixed(i > 0 && v < 99.95 ? 1 : 0) + units[i];
  };
  const time = (s) => s < 0.001 ? Math.round(s * 1e6) + ' µs' : s < 1 ? (s * 1e3).toFixed(1) + ' ms' : s < 120 ? s.toFixed(s < 10 ? 1 : 0) + ' s' :
    s < 7200 ? Math.round(s / 60) + ' min' : (s / 3600).toFixed(1) + ' h';
  const figure = (v, format) => format === 'age' ? (v === 0 ? '0 s' : time(v)) :
    format === 'binary' ? scaled(v, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']) : scaled(v, 1000, ['', 'k', 'M', 'G', 'T']);

  // The values below the pointer, read from the lines themselves.
  const point = () => {
    const plot = pointer && document.elementFromPoint(pointer.x, pointer.y)?.closest('.plot');
    tip.hidden = !plot;
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    const x = 300 * (pointer.x - box.left) / box.width;
    const lines = [...plot.querySelectorAll('.line')].map((line) => {
      const points = [...line.getAttribute('d').matchAll(/([\d.]+) ([\d.]+)/g)].map((m) => [+m[1], +m[2]]);
      const near = points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a, [1e9, 100]);
      return near[0] > 300.5 ? null : [near[0], line.dataset.name, plot.dataset.top * (1 - near[1] / 100)];
    }).filter(Boolean);
    tip.hidden = lines.length === 0;
    if (tip.hidden) return;
    tip.textContent = [time(Math.round((300 - lines[0][0]) * plot.dataset.span / 300)) + ' ago',
      ...lines.map((l) => figure(l[2], plot.dataset.format) + plot.dataset.unit + ' ' + l[1])].join('\n');
    tip.style.left = Math.min(pointer.x + 14, innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = pointer.y + 14 + 'px';
  };
  const move = (e) => { pointer = e.type === 'pointerleave' ? null : {x: e.clientX, y: e.clientY}; point(); };
  document.addEventListener('pointermove', move);
  document.documentElement.addEventListener('pointerleave', move);
})();
