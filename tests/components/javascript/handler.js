// Handles requests with the `fetch` event of its engine, StarlingMonkey: that is `wasi:http/incoming-handler`.

addEventListener('fetch', (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const { pathname, search } = new URL(request.url);
  switch (pathname) {
    case '/hello':
      return new Response('Hello from JavaScript!\n', { headers: { 'x-own': '1' } });
    case '/echo':
      return new Response(await request.text(), { status: 201 });
    case '/fetch':
      try {
        const response = await fetch(search.slice(1));
        return new Response(`${response.status}\n`);
      } catch (error) {
        return new Response(`${error}\n`, { status: 502 });
      }
    default:
      return new Response('not found\n', { status: 404 });
  }
}
