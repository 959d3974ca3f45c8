
(() => {
  'use strict';
  const live = document.getElementById('live');
  const lost = document.getElementById('lost');
  const tip = document.getElementById('tip');
  let seen = Date.now();
  let pointer = null;

  // The page comes anew every two seconds; what it shows takes the place of what was there.
  const refresh = async () => {
    if (document.hidden || getSelection().type === 'Range') return;
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
  const figure = (v, base) => {
    const units = base === 1024 ? [' B', ' KiB', ' MiB', ' GiB', ' TiB'] : ['', 'k', 'M', 'G', 'T'];
    let i = 0;
    for (; v >= base - 0.5 && i < units.length - 1; i++) v /= base;
    return v.toFixed(i > 0 && v < 99.95 ? 1 : 0) + units[i];
  };

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
    tip.textContent = [Math.round(300 - lines[0][0]) + ' s ago',
      ...lines.map((l) => figure(l[2], +plot.dataset.base) + '/s ' + l[1])].join('\n');
    tip.style.left = Math.min(pointer.x + 14, innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = pointer.y + 14 + 'px';
  };
  const move = (e) => { pointer = e.type === 'pointerleave' ? null : {x: e.clientX, y: e.clientY}; point(); };
  document.addEventListener('pointermove', move);
  document.documentElement.addEventListener('pointerleave', move);
})();
