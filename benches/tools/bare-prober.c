/* bare-prober - the system calls of checks, and nothing else.
 *   bare-prober tcp|http PORT CHECKERS
 * Asks as many addresses (those of benches/checks) as CHECKERS says, each every
 * second at a time of its own, those of the next 10 ms together: socket,
 * connect, with http also send and recv, close, and one poll for all that
 * wait.  No timeouts, no verdicts, no words: what this cannot do in time, no
 * program of one thread can. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GATHER 10000000ull
#define SECOND 1000000000ull

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static uint32_t address(unsigned number)
{
	return 127u << 24 | (1 + number / 62500) << 16 | (number / 250 % 250) << 8 | (number % 250 + 1);
}

int main(int count, char **words)
{
	if (count != 4) { fprintf(stderr, "bare-prober tcp|http PORT CHECKERS\n"); return 2; }
	int http = !strcmp(words[1], "http"), port = atoi(words[2]), number = atoi(words[3]), waiting = 0, size = 0;
	struct pollfd *asked = calloc(number, sizeof *asked);
	char *sent = calloc(number, 1), request[128], answer[16384];
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (!asked || !sent) return 1;
	uint64_t begin = now(), next = 0;
	for (;;) {
		uint64_t time = now() - begin;
		/* Check n is due at n / CHECKERS seconds, for ever. */
		for (; next * SECOND / number <= time && waiting < number; next++) {
			struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
			to.sin_addr.s_addr = htonl(address(next % number));
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
			if (fd < 0) { perror("socket"); return 1; }
			if (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS) { close(fd); continue; }
			asked[waiting] = (struct pollfd){ fd, POLLOUT, 0 };
			sent[waiting++] = 0;
		}
		uint64_t due = next * SECOND / number + GATHER, left = now() - begin;
		int ready = poll(asked, waiting, waiting == number || due > left ? (due - left) / 1000000 + 1 : 0);
		for (int i = 0; ready > 0 && i < waiting;) {
			if (!asked[i].revents) { i++; continue; }
			if (http && !sent[i]) {
				size = snprintf(request, sizeof request, "GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: %u\r\n\r\n", port);
				send(asked[i].fd, request, size, MSG_NOSIGNAL);
				asked[i].events = POLLIN;
				sent[i++] = 1;
				continue;
			}
			if (http) (void)!recv(asked[i].fd, answer, sizeof answer, 0);
			close(asked[i].fd);
			asked[i] = asked[--waiting];
			sent[i] = sent[waiting];
		}
	}
}
