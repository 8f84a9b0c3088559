// Connects to the address and the port that its arguments are, sends `ping` and prints the answer. It leaves a failed
// connection with `longjmp`, out of a nested function: clang compiles that to WebAssembly's exceptions.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static jmp_buf outside;

// The result of a call, which is no error.
static ssize_t checked(ssize_t result) {
    if (result < 0) longjmp(outside, errno);
    return result;
}

__attribute__((noinline)) static void ask(const struct sockaddr_in *address) {
    char answer[1024];
    int peer = checked(socket(AF_INET, SOCK_STREAM, 0));
    checked(connect(peer, (const struct sockaddr *)address, sizeof *address));
    checked(send(peer, "ping", 4, 0));
    ssize_t received = checked(recv(peer, answer, sizeof answer, 0));
    printf("ok %.*s\n", (int)received, answer);
    close(peer);
}

int main(int count, char **words) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (count != 3 || inet_pton(AF_INET, words[1], &address.sin_addr) != 1) return 2;
    address.sin_port = htons(atoi(words[2]));
    int error = setjmp(outside);
    if (error == 0) {
        ask(&address);
        return 0;
    }
    printf("jumped: %s\n", strerror(error));
    return 0;
}
