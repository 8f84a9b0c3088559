// Some of the attempts of ../tries, as a JavaScript program makes them: with WASI's own functions, there
// being no other sockets in its engine, QuickJS.
//
// A line for each attempt: `ok` and the details, or the error code. Attempts are separated by the word
// `then`.

import environment from 'wasi:cli/environment@0.2.12';
import standardOutput from 'wasi:cli/stdout@0.2.12';
import { instanceNetwork } from 'wasi:sockets/instance-network@0.2.12';
import { resolveAddresses } from 'wasi:sockets/ip-name-lookup@0.2.12';
import { createTcpSocket } from 'wasi:sockets/tcp-create-socket@0.2.12';
import { createUdpSocket } from 'wasi:sockets/udp-create-socket@0.2.12';

// There is no TextEncoder, and nothing here needs more than ASCII.
const bytes = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const text = (bytes) => String.fromCharCode(...bytes);

function print(line) {
  const output = standardOutput.getStdout();
  output.blockingWriteAndFlush(bytes(`${line}\n`));
  output[Symbol.dispose]();
}

// What an error says that a function of WASI's gave.
const code = (error) => error.payload?.tag ?? error.payload ?? error.tag ?? error;

// Repeats a call of something that can be waited for until it no longer would block.
function finished(subject, call) {
  const pollable = subject.subscribe();
  try {
    for (;;) {
      try {
        return call(subject);
      } catch (error) {
        if (code(error) !== 'would-block') throw error;
      }
      pollable.block();
    }
  } finally {
    pollable[Symbol.dispose]();
  }
}

// Whoever is used by others has to go after them.
function drop(...resources) {
  for (const resource of resources) resource[Symbol.dispose]();
}

function parsed(address) {
  const [host, port] = address.split(':');
  return { tag: 'ipv4', val: { port: Number(port), address: host.split('.').map(Number) } };
}

const shown = ({ val }) => `${val.address.join('.')}:${val.port}`;

function addresses(name) {
  const stream = resolveAddresses(instanceNetwork(), name);
  const found = [];
  for (;;) {
    const address = finished(stream, (stream) => stream.resolveNextAddress());
    if (address == null) break;
    found.push(address);
  }
  drop(stream);
  return found;
}

function read(input) {
  try {
    return input.blockingRead(4096);
  } catch (error) {
    if (code(error) !== 'closed') throw error;
    return new Uint8Array();
  }
}

function ask(address) {
  const socket = createTcpSocket(address.tag);
  socket.startConnect(instanceNetwork(), address);
  const [input, output] = finished(socket, (socket) => socket.finishConnect());
  output.blockingWriteAndFlush(bytes('ping'));
  socket.shutdown('send');
  let answer = '';
  for (let received = read(input); received.length > 0; received = read(input)) {
    answer += text(received);
  }
  drop(input, output, socket);
  return answer;
}

function bound(create, address) {
  const socket = create(address.tag);
  socket.startBind(instanceNetwork(), address);
  finished(socket, (socket) => socket.finishBind());
  return socket;
}

function listen(address, count) {
  const server = bound(createTcpSocket, parsed(address));
  server.startListen();
  finished(server, (server) => server.finishListen());
  print(`listening on ${shown(server.localAddress())}`);
  for (let served = 0; served < Number(count); served++) {
    const [client, input, output] = finished(server, (server) => server.accept());
    print(`accepted ${shown(client.remoteAddress())}`);
    output.blockingWriteAndFlush(read(input));
    drop(input, output, client);
  }
  drop(server);
  return count;
}

// As listen, and a client that breaks off isn't served, and no reason not to serve the next.
function serve(address, count) {
  const server = bound(createTcpSocket, parsed(address));
  server.startListen();
  finished(server, (server) => server.finishListen());
  print(`listening on ${shown(server.localAddress())}`);
  for (let served = 0; served < Number(count); ) {
    const [client, input, output] = finished(server, (server) => server.accept());
    print(`accepted ${shown(client.remoteAddress())}`);
    try {
      const message = read(input);
      if (message.length > 0) {
        output.blockingWriteAndFlush(message);
        served++;
      }
    } catch {
      // It has broken off.
    }
    drop(input, output, client);
  }
  drop(server);
  return count;
}

function send(outgoing, data, remoteAddress) {
  const pollable = outgoing.subscribe();
  while (Number(outgoing.checkSend()) === 0) pollable.block();
  drop(pollable);
  outgoing.send([{ data, remoteAddress }]);
}

function receive(incoming) {
  const pollable = incoming.subscribe();
  for (;;) {
    const [datagram] = incoming.receive(1);
    if (datagram) {
      drop(pollable);
      return datagram;
    }
    pollable.block();
  }
}

function udpAsk(address) {
  const socket = bound(createUdpSocket, parsed('0.0.0.0:0'));
  const [incoming, outgoing] = socket.stream(null);
  try {
    send(outgoing, bytes('ping'), parsed(address));
    return text(receive(incoming).data);
  } finally {
    drop(incoming, outgoing, socket);
  }
}

function udpServe(address, count) {
  const socket = bound(createUdpSocket, parsed(address));
  const [incoming, outgoing] = socket.stream(null);
  print(`listening on ${shown(socket.localAddress())}`);
  for (let served = 0; served < Number(count); served++) {
    const { data, remoteAddress } = receive(incoming);
    send(outgoing, data, remoteAddress);
  }
  drop(incoming, outgoing, socket);
  return count;
}

const ATTEMPTS = {
  resolve: (name) => addresses(name).map(({ val }) => val.join('.')).join(' '),
  connect: (address) => ask(parsed(address)),
  'connect-name': (name, port) => {
    const found = addresses(name).find(({ tag }) => tag === 'ipv4');
    return ask({ tag: 'ipv4', val: { port: Number(port), address: found.val } });
  },
  listen,
  serve,
  'udp-ask': udpAsk,
  'udp-serve': udpServe,
};

function made([name, ...words]) {
  try {
    return `ok ${ATTEMPTS[name](...words)}`;
  } catch (error) {
    return `${code(error)} at ${name}`;
  }
}

export const run = {
  run() {
    let attempt = [];
    for (const word of [...environment.getArguments().slice(1), 'then']) {
      if (word !== 'then') {
        attempt.push(word);
        continue;
      }
      print(made(attempt));
      attempt = [];
    }
  },
};
