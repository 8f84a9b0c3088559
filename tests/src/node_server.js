// A server of Node's own making of HTTP: codings, trailers, redirects, uploads, slow and broken answers.
// `node.rs` lists its pages. It listens on a free port of 127.0.0.1 and says which.
"use strict";
const http = require("http");
const zlib = require("zlib");
const crypto = require("crypto");
const { Readable } = require("stream");

const TEXT = "A page of text that is coded well. ".repeat(1000);
const ENCODERS = {
  gzip: zlib.gzipSync,
  "x-gzip": zlib.gzipSync,
  deflate: zlib.deflateSync,
  // What some servers send by that name.
  "raw-deflate": zlib.deflateRawSync,
  br: zlib.brotliCompressSync,
  identity: (bytes) => bytes,
};
const NAMES = { "raw-deflate": "deflate" };

// How often each page of `/flaky` has been asked for, by its key.
const asked = new Map();

function text(response, body, status = 200, headers = {}) {
  response.writeHead(status, {
    "Content-Type": "text/plain",
    "Content-Length": Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}

// What was asked for, with the fields in an order of their own, so that two clients can be compared.
function seen(request, body) {
  const fields = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    fields.push(`${request.rawHeaders[at].toLowerCase()}: ${request.rawHeaders[at + 1]}`);
  }
  fields.sort();
  const head = [`${request.method} ${request.url} HTTP/${request.httpVersion}`, ...fields];
  return Buffer.concat([Buffer.from(head.join("\n") + "\n\n", "latin1"), body]);
}

function coded(codings, body) {
  return codings.reduce((bytes, coding) => (ENCODERS[coding] || ENCODERS.identity)(bytes), body);
}

const PAGES = {
  page: (request, response) => text(response, TEXT),

  body: async (request, response) => {
    const body = await read(request);
    response.writeHead(200, { "Content-Length": body.length });
    response.end(body);
  },

  echo: async (request, response) => {
    const answer = seen(request, await read(request));
    response.writeHead(200, { "Content-Length": answer.length });
    // RFC 9110 section 9.3.2: the answer to HEAD has the same head and no body.
    response.end(answer);
  },

  upload: async (request, response) => {
    const hash = crypto.createHash("sha256");
    let size = 0;
    for await (const piece of request) {
      hash.update(piece);
      size += piece.length;
    }
    const { "transfer-encoding": coding, "content-length": length, expect } = request.headers;
    const facts = { method: request.method, size, sha256: hash.digest("hex"), coding, length, expect };
    text(response, JSON.stringify(facts));
  },

  trailers: (request, response) => {
    response.writeHead(200, { Trailer: "X-Checksum" });
    response.write("one ");
    response.write("two");
    response.addTrailers({ "X-Checksum": "12345" });
    response.end();
  },

  hints: (request, response) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    text(response, "after the hints");
  },

  // /coded/gzip,br: coded with gzip and then with br.
  coded: (request, response, [codings]) => {
    const list = codings.split(",");
    const body = coded(list, Buffer.from(TEXT));
    response.writeHead(200, {
      "Content-Encoding": list.map((coding) => NAMES[coding] || coding).join(", "),
      "Content-Length": body.length,
    });
    response.end(body);
  },

  // The same in chunks of few bytes.
  "coded-chunks": async (request, response, [codings]) => {
    const list = codings.split(",");
    response.writeHead(200, { "Content-Encoding": list.join(", ") });
    const body = coded(list, Buffer.from(TEXT));
    for (let at = 0; at < body.length; at += 7) response.write(body.subarray(at, at + 7));
    response.end();
  },

  "coded-cut": (request, response, [coding]) => {
    const body = coded([coding], Buffer.from(TEXT));
    const half = body.subarray(0, body.length / 2);
    response.writeHead(200, { "Content-Encoding": coding, "Content-Length": half.length });
    response.end(half);
  },

  // /bomb/gzip/1000: so many MiB of zeros, coded.
  bomb: (request, response, [coding, size]) => {
    const make = { gzip: zlib.createGzip, deflate: zlib.createDeflate, br: brotli }[coding];
    response.writeHead(200, { "Content-Encoding": coding });
    const block = Buffer.alloc(1 << 20);
    let left = Number(size);
    const zeros = new Readable({
      read() {
        this.push(left-- > 0 ? block : null);
      },
    });
    zeros.pipe(make()).pipe(response);
    response.on("close", () => zeros.destroy());
  },

  status: (request, response, [status]) => text(response, `status ${status}\n`, Number(status)),

  // /redirect/302?LOCATION: the location just as it is.
  redirect: (request, response, [status], location) =>
    text(response, "a redirect\n", Number(status), { Location: location }),

  hops: (request, response, [count]) =>
    Number(count) === 0
      ? text(response, "arrived\n")
      : text(response, "on\n", 302, { Location: `${Number(count) - 1}` }),

  loop: (request, response) => text(response, "again\n", 302, { Location: "/loop" }),

  // /flaky/KEY/2/503: that status twice, and then the page. With a query, it is the Retry-After.
  flaky: (request, response, [key, count, status], after) => {
    const before = asked.get(key) || 0;
    asked.set(key, before + 1);
    if (before >= Number(count)) return text(response, "at last\n");
    if (status === "reset") return request.socket.resetAndDestroy();
    if (status === "close") return request.socket.destroy();
    text(response, "not yet\n", Number(status), after ? { "Retry-After": after } : {});
  },

  asked: (request, response, [key]) => text(response, `${asked.get(key) || 0}`),

  // A byte of the page each so many milliseconds.
  drip: (request, response, [every]) => {
    response.writeHead(200, { "Content-Length": TEXT.length });
    let at = 0;
    const timer = setInterval(() => response.write(TEXT[at++]), Number(every));
    response.on("close", () => clearInterval(timer));
  },

  hang: () => {},

  "hang-in-body": (request, response) => {
    response.writeHead(200, { "Content-Length": TEXT.length });
    response.write(TEXT.slice(0, 100));
  },

  "reset-in-body": (request, response) => {
    response.writeHead(200, { "Content-Length": TEXT.length });
    // The reset comes after the bytes, and not in their place.
    response.write(TEXT.slice(0, 100), () => setTimeout(() => request.socket.resetAndDestroy(), 100));
  },

  "cut-short": (request, response) => {
    response.writeHead(200, { "Content-Length": TEXT.length });
    response.write(TEXT.slice(0, 100), () => request.socket.end());
  },

  // Answers before the body was sent, if the client waits for leave to send it.
  refused: (request, response) => text(response, "too large\n", 413, { Connection: "close" }),

  "no-expect": async (request, response) => {
    if (request.headers.expect) return text(response, "no expectations\n", 417);
    await PAGES.upload(request, response);
  },

  tagged: (request, response) => {
    const fields = { ETag: '"v1"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT" };
    const known = request.headers["if-none-match"] === '"v1"';
    if (known) {
      response.writeHead(304, fields);
      return response.end();
    }
    text(response, "version 1\n", 200, fields);
  },
};

const brotli = () =>
  zlib.createBrotliCompress({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } });

async function read(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

function answer(request, response) {
  const [path, query] = split(request.url, "?");
  const [name, ...rest] = path.slice(1).split("/");
  response.sendDate = false;
  const page = PAGES[name];
  if (!page) return text(response, "there is no such page\n", 404);
  // A client that goes away in the middle is what some tests are about.
  Promise.resolve(page(request, response, rest, query)).catch(() => request.socket.destroy());
}

function split(whole, separator) {
  const at = whole.indexOf(separator);
  return at < 0 ? [whole, ""] : [whole.slice(0, at), whole.slice(at + 1)];
}

const server = http.createServer({ keepAliveTimeout: 60_000 }, answer);
server.on("checkContinue", (request, response) => {
  const wanted = !/^\/(refused|no-expect)/.test(request.url);
  if (wanted) response.writeContinue();
  answer(request, response);
});
server.listen(0, "127.0.0.1", () => console.log(`listening on port ${server.address().port}`));
