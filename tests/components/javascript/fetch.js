// Fetches the URLs that are its arguments, with the `fetch` of its engine, StarlingMonkey: that is `wasi:http`. A method
// stands before its URL, with a `+` between.
//
// A line for each: `ok`, the status and the body, or `failed` and the error.

import { getArguments } from 'wasi:cli/environment@0.2.12';

export const run = {
  async run() {
    for (const word of getArguments().slice(1)) {
      const [url, method] = word.split('+').reverse();
      try {
        const response = await fetch(url, { method: method ?? 'GET' });
        console.log(`ok ${response.status} ${(await response.text()).trim()}`);
      } catch (error) {
        console.log(`failed ${error}`);
      }
    }
  },
};
