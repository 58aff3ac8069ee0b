/** A worker that ticks: send it a number of milliseconds. Used by session.js. */
onmessage = ({ data }) => setInterval(() => postMessage(0), data);
