/** The log of one build, as it grows. */
import { TailStopped, tail } from '../django_pollable/tail.js';

const LAST = 65536; // what is shown of a long log at first (bytes)
const LONGEST = 200_000; // what is kept on the page (characters)

const dialog = document.getElementById('build-log');
const [title, state, text] = ['build-log-title', 'build-log-state', 'build-log-text'].map((id) => document.getElementById(id));
let ending = new AbortController();

/** Show what a build says, until the dialog is closed. */
export async function openLog({ id, project, number }) {
  ending.abort();
  const { signal } = (ending = new AbortController());
  title.textContent = `Log of #${number}`;
  text.textContent = '';
  say('Connecting');
  dialog.showModal();
  try {
    for await (const piece of tail(`/api/projects/${project}/builds/${id}/log/`, { signal, last: LAST, pace: { interval: 1 }, onOutcome: tell })) {
      if (signal.aborted) return;
      const isAtEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
      const shown = piece.isRestart ? '' : text.textContent;
      text.textContent = (shown + piece.text).slice(-LONGEST);
      if (isAtEnd) text.scrollTop = text.scrollHeight;
    }
  } catch (error) {
    if (!(error instanceof TailStopped)) throw error;
    say(stopText(error.outcome));
  }
}

/** Close the dialog, and ask no more. */
export function closeLog() {
  dialog.close();
}

function tell({ kind, reason, piece }) {
  if (piece?.isRestart) say('Begun anew');
  else if (kind === 'backoff') say(`No answer (${reason}): what is shown may be old`);
  else if (kind !== 'stop') say(text.textContent || piece ? 'Live' : 'Nothing yet');
}

function stopText({ reason, detail }) {
  if (['status-401', 'status-403'].includes(reason)) return 'For members of the project only';
  return reason === 'status-404' ? 'The build is gone, or in another project' : detail || reason;
}

function say(what) {
  if (state.textContent !== what) state.textContent = what;
}

dialog.addEventListener('close', () => {
  ending.abort();
  text.textContent = '';
});
