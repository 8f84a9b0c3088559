// A plugin of the example `plugins`, in JavaScript: it fetches a page that its policy file does not grant, and goes on.

import { line } from 'example:plugins/log@1.0.0';

export async function run(task) {
  line(`${task} in JavaScript`);
  try {
    const response = await fetch('http://127.0.0.1:9/');
    return `status ${response.status}`;
  } catch (error) {
    return `${task} without the page`;
  }
}
