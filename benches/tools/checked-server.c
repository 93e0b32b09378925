/* checked-server - a server that is asked very often, and notes when.
 *   checked-server tcp|http PORT FILE
 * Listens on all addresses.  tcp: takes connections and closes them; http: gives
 * each a short answer.  FILE gets a count and then a record for each connection:
 * nanoseconds, the address asked for, the port. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST (4 << 20)
struct record { uint64_t ns; uint32_t address, port; };
struct journal { uint64_t count, spare; struct record record[MOST]; };

int main(int count, char **words)
{
	if (count != 4) { fprintf(stderr, "checked-server tcp|http PORT FILE\n"); return 2; }
	int http = !strcmp(words[1], "http"), port = atoi(words[2]), one = 1;
	int file = open(words[3], O_RDWR | O_CREAT, 0600);
	if (file < 0 || ftruncate(file, sizeof(struct journal))) { perror(words[3]); return 1; }
	struct journal *journal = mmap(0, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (journal == MAP_FAILED || bind(listener, (void *)&here, sizeof here) || listen(listener, 16384)) { perror("checked-server"); return 1; }
	struct epoll_event event = { EPOLLIN, { .fd = listener } }, events[256];
	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
	for (;;) {
		int ready = epoll_wait(poll, events, 256, -1);
		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd; char asked[2048];
			if (fd != listener) {
				if (recv(fd, asked, sizeof asked, 0) > 0) send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
				close(fd);
				continue;
			}
			for (int n = 0; n < 64; n++) {
				fd = accept4(listener, 0, 0, SOCK_NONBLOCK);
				if (fd < 0) break;
				struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
				struct sockaddr_in to; socklen_t size = sizeof to;
				getsockname(fd, (void *)&to, &size);
				if (journal->count < MOST) {
					journal->record[journal->count] = (struct record){ now.tv_sec * 1000000000ull + now.tv_nsec, ntohl(to.sin_addr.s_addr), port };
					__atomic_add_fetch(&journal->count, 1, __ATOMIC_RELEASE);
				}
				if (!http) { close(fd); continue; }
				struct epoll_event more = { EPOLLIN, { .fd = fd } };
				epoll_ctl(poll, EPOLL_CTL_ADD, fd, &more);
			}
		}
	}
}
