// Some of the attempts of ../tries, as a program in C makes them: with the sockets of wasi-libc.
//
// A line for each attempt: `ok` and the details, or the error. Attempts are separated by the word `then`.

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// What an attempt has found out, or the error that it ended with.
static char details[1024];

static bool failed(const char *error) {
    snprintf(details, sizeof details, "%s", error);
    return false;
}

// Closes a socket, and tells of the error that a call before has left.
static bool failed_with(int socket) {
    bool result = failed(strerror(errno));
    if (socket >= 0) close(socket);
    return result;
}

static bool parse(const char *word, struct sockaddr_in *address) {
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(word, ':');
    if (colon == NULL || (size_t)(colon - word) >= sizeof host) return failed("not an address");
    memcpy(host, word, colon - word);
    host[colon - word] = '\0';
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_port = htons(atoi(colon + 1));
    return inet_pton(AF_INET, host, &address->sin_addr) == 1 || failed("not an address");
}

static void announce(const char *what, const struct sockaddr_in *address) {
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    printf("%s %s:%d\n", what, host, ntohs(address->sin_port));
    fflush(stdout);
}

static bool resolve(char **words) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int code = getaddrinfo(words[0], NULL, &hints, &found);
    if (code != 0) return failed(gai_strerror(code));
    size_t length = 0;
    for (struct addrinfo *each = found; each != NULL; each = each->ai_next) {
        // wasi-libc's getnameinfo aborts.
        char host[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &((struct sockaddr_in *)each->ai_addr)->sin_addr, host, sizeof host);
        length += snprintf(details + length, sizeof details - length, "%s%s", length ? " " : "", host);
        if (length >= sizeof details) break;
    }
    freeaddrinfo(found);
    return true;
}

// Sends `ping`, and reads until the peer closes.
static bool ask(const struct sockaddr *address, socklen_t length) {
    int peer = socket(address->sa_family, SOCK_STREAM, 0);
    if (peer < 0 || connect(peer, address, length) != 0) return failed_with(peer);
    if (send(peer, "ping", 4, 0) != 4 || shutdown(peer, SHUT_WR) != 0) return failed_with(peer);
    size_t received = 0;
    while (received < sizeof details - 1) {
        ssize_t more = recv(peer, details + received, sizeof details - 1 - received, 0);
        if (more < 0) return failed_with(peer);
        if (more == 0) break;
        received += more;
    }
    details[received] = '\0';
    close(peer);
    return true;
}

static bool connect_to(char **words) {
    struct sockaddr_in address;
    return parse(words[0], &address) && ask((struct sockaddr *)&address, sizeof address);
}

static bool connect_name(char **words) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int code = getaddrinfo(words[0], words[1], &hints, &found);
    if (code != 0) return failed(gai_strerror(code));
    bool result = ask(found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return result;
}

// A socket that is bound to the address, and what it says that its address is.
static int bound(int type, const char *word) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (!parse(word, &address)) return -1;
    int server = socket(AF_INET, type, 0);
    if (server < 0 || bind(server, (struct sockaddr *)&address, length) != 0 ||
        (type == SOCK_STREAM && listen(server, 128) != 0) ||
        getsockname(server, (struct sockaddr *)&address, &length) != 0) {
        failed_with(server);
        return -1;
    }
    announce("listening on", &address);
    return server;
}

// Serves so many clients. One that breaks off counts only if `all` count.
static bool serve_some(char **words, bool all) {
    int server = bound(SOCK_STREAM, words[0]);
    if (server < 0) return false;
    for (int served = 0; served < atoi(words[1]);) {
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        int connection = accept(server, (struct sockaddr *)&client, &length);
        if (connection < 0) return failed_with(server);
        announce("accepted", &client);
        char message[4096];
        ssize_t received = recv(connection, message, sizeof message, 0);
        bool done = received > 0 && send(connection, message, received, 0) == received;
        if (done || all) served++;
        close(connection);
    }
    close(server);
    snprintf(details, sizeof details, "%s", words[1]);
    return true;
}

static bool listen_at(char **words) { return serve_some(words, true); }

static bool serve(char **words) { return serve_some(words, false); }

static bool udp_ask(char **words) {
    struct sockaddr_in address;
    if (!parse(words[0], &address)) return false;
    int peer = socket(AF_INET, SOCK_DGRAM, 0);
    if (peer < 0) return failed_with(peer);
    if (sendto(peer, "ping", 4, 0, (struct sockaddr *)&address, sizeof address) != 4) return failed_with(peer);
    ssize_t received = recvfrom(peer, details, sizeof details - 1, 0, NULL, NULL);
    if (received < 0) return failed_with(peer);
    details[received] = '\0';
    close(peer);
    return true;
}

static bool udp_serve(char **words) {
    int server = bound(SOCK_DGRAM, words[0]);
    if (server < 0) return false;
    for (int served = 0; served < atoi(words[1]); served++) {
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        char datagram[4096];
        ssize_t received = recvfrom(server, datagram, sizeof datagram, 0, (struct sockaddr *)&client, &length);
        if (received < 0) return failed_with(server);
        if (sendto(server, datagram, received, 0, (struct sockaddr *)&client, length) != received) return failed_with(server);
    }
    close(server);
    snprintf(details, sizeof details, "%s", words[1]);
    return true;
}

static const struct {
    const char *name;
    bool (*make)(char **words);
    int words;
} ATTEMPTS[] = {
    {"resolve", resolve, 1},     {"connect", connect_to, 1}, {"connect-name", connect_name, 2},
    {"listen", listen_at, 2},    {"serve", serve, 2},        {"udp-ask", udp_ask, 1},
    {"udp-serve", udp_serve, 2},
};

// Makes the attempt that these words describe, and prints what came of it.
static bool make(char **words, int count) {
    for (size_t i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++) {
        if (strcmp(words[0], ATTEMPTS[i].name) != 0 || count != ATTEMPTS[i].words + 1) continue;
        bool result = ATTEMPTS[i].make(words + 1);
        printf(result ? "ok %s\n" : "%s at %s\n", details, words[0]);
        fflush(stdout);
        return true;
    }
    fprintf(stderr, "not an attempt: %s\n", words[0]);
    return false;
}

int main(int count, char **words) {
    int first = 1;
    for (int i = 1; i <= count; i++) {
        if (i < count && strcmp(words[i], "then") != 0) continue;
        if (i > first && !make(words + first, i - first)) return 2;
        first = i + 1;
    }
    return 0;
}
