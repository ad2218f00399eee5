/* An answer as it streams: what is asked of whom, its text, its tokens and rates. */
import {events} from "./api.js";
import {number} from "./format.js";

/* Asks model ("": the base). messages: a chat, or prompt: a text that is gone on with. told(state)
 * is called as text comes: {text, tokens, seconds, first, usage, finish}; resolves to the last. */
export async function ask({model, messages, prompt, sampling, signal}, told) {
  const state = {text: "", pieces: 0, first: null, seconds: 0, usage: null, finish: null};
  const began = performance.now();
  const body = {model, stream: true, stream_options: {include_usage: true}, ...sampling,
                ...messages ? {messages} : {prompt}};
  const path = messages ? "/v1/chat/completions" : "/v1/completions";
  await events(path, body, signal, event => {
    const choice = event.choices[0];
    const text = choice?.delta?.content ?? choice?.text ?? "";
    if (event.usage) state.usage = event.usage;
    if (choice?.finish_reason) state.finish = choice.finish_reason;
    state.seconds = (performance.now() - began) / 1000;
    if (text) {
      state.first ??= state.seconds;
      state.text += text;
      state.pieces++;
    }
    told(state);
  });
  return state;
}

/* In words: "12 + 48 tokens · first after 0.1 s · 96 tokens/s". */
export function figures(state) {
  const tokens = state.usage?.completion_tokens ?? state.pieces;
  const parts = [state.usage ? `${number(state.usage.prompt_tokens)} + ${number(tokens)} tokens`
                             : `${number(tokens)} tokens`];
  if (state.first !== null) {
    parts.push(`first after ${number(state.first)} s`);
    const after = state.seconds - state.first;
    if (tokens > 1 && after > 0) parts.push(`${number((tokens - 1) / after)} tokens/s`);
  }
  if (state.stopped) parts.push("stopped");
  if (state.finish === "length") parts.push("cut at max_tokens");
  return parts.join(" · ");
}
