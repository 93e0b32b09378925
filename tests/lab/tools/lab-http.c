/* lab-http: the smallest HTTP server and clients that tests of a balancer need.
 * One static program, so that a start costs one exec even in a slow machine.
 *
 *   lab-http serve NAME PORT [PORT...]
 *       answers every GET with its NAME (Connection: close);
 *       /status/CODE answers with that code; /stream sends "NAME n" every 100 ms.
 *   lab-http get [-n N] [-i MS] [-t MS] [-b SRC [-r COUNT] [-p PORT]] [-u PATH] [-w SECONDS] HOST PORT
 *       N requests, each on its own connection; or, with -w, for SECONDS;
 *       with -b from address SRC, ports PORT (20000), and on; with -r from COUNT
 *       addresses in turn, SRC and those after it (IPv4);
 *       stdout: "COUNT NAME" per server, then "fail COUNT", then "maxgap_ms MS"
 *       (the longest time between two successes).  Exit 1 if any failed.
 *   lab-http stream [-t MS] HOST PORT SECONDS
 *       one connection to /stream for SECONDS.  Prints "lines N server NAME
 *       maxgap_ms MS"; exit 1 if the connection broke or was silent for -t MS.
 *   lab-http udp-serve NAME ADDRESS PORT    answers every datagram with its NAME
 *   lab-http udp-get [-n N] [-t MS] HOST PORT
 *       N datagrams, each from its own socket; output as of "get"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e3 + t.tv_nsec / 1e6; }
static void nap(double ms) { if (ms > 0) { struct timespec t = { (time_t)(ms / 1e3), (long)((ms - (time_t)(ms / 1e3) * 1e3) * 1e6) }; nanosleep(&t, NULL); } }

static void answer(int c, const char *name)
{
    char buf[4096], out[8192]; int code = 200; size_t n = 0; ssize_t r;
    signal(SIGPIPE, SIG_IGN);
    while (n < sizeof buf - 1 && (r = read(c, buf + n, sizeof buf - 1 - n)) > 0) { n += r; buf[n] = 0; if (strstr(buf, "\r\n\r\n") || strstr(buf, "\n\n")) break; }
    buf[n] = 0;
    sscanf(buf, "%*s /status/%d", &code);
    if (strncmp(buf, "GET /stream", 11) == 0) {
        n = snprintf(out, sizeof out, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        if (write(c, out, n) < 0) return;
        for (int i = 0; ; i++) { n = snprintf(out, sizeof out, "%s %d\n", name, i); if (write(c, out, n) < 0) return; nap(100); }
    }
    int head = strncmp(buf, "HEAD", 4) == 0, body = strlen(name) + 1;
    n = snprintf(out, sizeof out, "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s%s", code, body, head ? "" : name, head ? "" : "\n");
    if (write(c, out, n) < 0) return;
    shutdown(c, SHUT_WR);
    while (read(c, buf, sizeof buf) > 0) ;
}

static int serve(int argc, char **argv)
{
    struct pollfd p[16]; int n = 0, one = 1, zero = 0;
    signal(SIGCHLD, SIG_IGN);
    for (int i = 1; i < argc && n < 16; i++) {
        struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[i])) };
        int s = socket(AF_INET6, SOCK_STREAM, 0);
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        if (bind(s, (void *)&a, sizeof a) || listen(s, 128)) { perror(argv[i]); return 1; }
        p[n].fd = s; p[n++].events = POLLIN;
    }
    puts("ready"); fflush(stdout);
    for (;;) {
        if (poll(p, n, -1) < 0) continue;
        for (int i = 0; i < n; i++) if (p[i].revents) {
            int c = accept(p[i].fd, NULL, NULL);
            if (c < 0) continue;
            if (fork() == 0) { for (int j = 0; j < n; j++) close(p[j].fd); answer(c, argv[0]); _exit(0); }
            close(c);
        }
    }
}

static socklen_t addr(const char *host, int port, struct sockaddr_storage *a)
{
    struct sockaddr_in *v4 = (void *)a; struct sockaddr_in6 *v6 = (void *)a;
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) { v4->sin_family = AF_INET; v4->sin_port = htons(port); return sizeof *v4; }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) { v6->sin6_family = AF_INET6; v6->sin6_port = htons(port); return sizeof *v6; }
    return 0;
}

/* connect within ms; -1 and errno otherwise.  From a given source address, each
 * connection has the next source port: a balancer keeps entries of dead
 * connections for minutes, and a port used twice would follow the old one. */
static int next_port = 20000;
static int dial(const char *host, const char *port, const char *src, int ms)
{
    struct sockaddr_storage a, b; socklen_t al, bl;
    if (!(al = addr(host, atoi(port), &a)) || (src && !(bl = addr(src, next_port++, &b)))) { fprintf(stderr, "bad address %s\n", host); exit(2); }
    int s = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), e = 0; socklen_t l = sizeof e;
    if (src && bind(s, (void *)&b, bl)) { perror(src); exit(2); }
    if (connect(s, (void *)&a, al) && errno != EINPROGRESS) e = errno;
    if (!e) {
        struct pollfd p = { s, POLLOUT, 0 };
        if (poll(&p, 1, ms) != 1) e = ETIMEDOUT;
        else getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &l);
    }
    if (e) { close(s); errno = e; return -1; }
    return s;
}

static int ask(int s, const char *host, const char *path)
{
    char b[1024]; int n = snprintf(b, sizeof b, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, host);
    return write(s, b, n) == n ? 0 : -1;
}

/* the whole answer's body, trimmed, in out; 0 when it is a 200 */
static int fetch(const char *host, const char *port, const char *src, const char *path, int ms, char *out, int size)
{
    double end = now() + ms; int s = dial(host, port, src, ms), n = 0; char b[4096];
    if (s < 0) return -1;
    if (ask(s, host, path)) { close(s); return -1; }
    for (;;) {
        struct pollfd p = { s, POLLIN, 0 }; double left = end - now();
        if (left <= 0 || poll(&p, 1, (int)left + 1) != 1) { close(s); return -1; }
        ssize_t r = read(s, b + n, sizeof b - 1 - n);
        if (r < 0) { close(s); return -1; }
        if (r == 0 || n + r >= (ssize_t)sizeof b - 1) { if (r > 0) n += r; break; }
        n += r;
    }
    close(s); b[n] = 0;
    int code = 0; char *body = strstr(b, "\r\n\r\n");
    if (sscanf(b, "HTTP/%*s %d", &code) != 1 || code != 200 || !body) return -1;
    body += 4; body[strcspn(body, "\r\n")] = 0;
    snprintf(out, size, "%s", body);
    return 0;
}

static int udp_serve(const char *name, const char *host, const char *port)
{
    struct sockaddr_storage a, from; socklen_t l = addr(host, atoi(port), &a);
    int s = socket(a.ss_family, SOCK_DGRAM, 0); char b[2048];
    if (!l || bind(s, (void *)&a, l)) { perror(host); return 1; }
    puts("ready"); fflush(stdout);
    for (;;) {
        l = sizeof from;
        if (recvfrom(s, b, sizeof b, 0, (void *)&from, &l) >= 0 && sendto(s, name, strlen(name), 0, (void *)&from, l) < 0) perror("sendto");
    }
}

static int udp_ask(const char *host, const char *port, int ms, char *out, int size)
{
    struct sockaddr_storage a; socklen_t l = addr(host, atoi(port), &a); ssize_t r = -1;
    int s = socket(a.ss_family, SOCK_DGRAM, 0); struct pollfd p = { s, POLLIN, 0 };
    if (!connect(s, (void *)&a, l) && send(s, "?", 1, 0) == 1 && poll(&p, 1, ms) == 1) r = recv(s, out, size - 1, 0);
    close(s);
    if (r < 0) return -1;
    out[r] = 0;
    return 0;
}

/* the address N after that one */
static const char *nth(const char *src, int n)
{
    static char b[INET_ADDRSTRLEN]; struct in_addr a;
    if (inet_pton(AF_INET, src, &a) != 1) return src;
    a.s_addr = htonl(ntohl(a.s_addr) + n);
    return inet_ntop(AF_INET, &a, b, sizeof b);
}

int main(int argc, char **argv)
{
    int o, n = 1, ival = 0, tmo = 2000, spread = 1, fails = 0, kinds = 0; double secs = 0, maxgap = 0, last, end;
    const char *src = NULL, *path = "/";
    static struct { char name[128]; int count; } seen[256];
    if (argc < 2) return 2;
    char *verb = argv[1]; argv++; argc--;
    while ((o = getopt(argc, argv, "+n:i:t:b:r:p:u:w:")) > 0) switch (o) {
        case 'n': n = atoi(optarg); break;      case 'i': ival = atoi(optarg); break;
        case 't': tmo = atoi(optarg); break;    case 'b': src = optarg; break;
        case 'r': spread = atoi(optarg); break;
        case 'p': next_port = atoi(optarg); break;
        case 'u': path = optarg; break;         case 'w': secs = atof(optarg) * 1e3; n = 1 << 30; break;
        default: return 2;
    }
    argv += optind; argc -= optind;
    if (!strcmp(verb, "serve") && argc >= 2) return serve(argc, argv);
    if (!strcmp(verb, "udp-serve") && argc == 3) return udp_serve(argv[0], argv[1], argv[2]);
    int udp = !strcmp(verb, "udp-get");
    if (spread < 1) return 2;
    if ((udp || !strcmp(verb, "get")) && argc == 2) {
        last = now(); end = secs ? last + secs : 1e300;
        for (int i = 0; i < n && now() < end; i++) {
            char who[128]; double t = now();
            if (udp ? udp_ask(argv[0], argv[1], tmo, who, sizeof who)
                    : fetch(argv[0], argv[1], src ? nth(src, i % spread) : NULL, path, tmo, who, sizeof who)) fails++;
            else {
                int k; double g = now() - last; last = now(); if (g > maxgap) maxgap = g;
                for (k = 0; k < kinds && strcmp(seen[k].name, who); k++) ;
                if (k == kinds && kinds < 255) strcpy(seen[kinds++].name, who);
                seen[k].count++;
            }
            if (ival) nap(ival - (now() - t));
        }
        if (now() - last > maxgap) maxgap = now() - last;
        for (int k = 0; k < kinds; k++) printf("%d %s\n", seen[k].count, seen[k].name);
        printf("fail %d\nmaxgap_ms %.0f\n", fails, maxgap);
        return fails != 0;
    }
    if (!strcmp(verb, "stream") && argc == 3) {
        char b[65536], who[128] = "-"; int lines = 0, broke = 1, n2 = 0, s = dial(argv[0], argv[1], src, tmo);
        if (s < 0 || ask(s, argv[0], "/stream")) { perror("stream"); return 1; }
        last = now(); end = last + atof(argv[2]) * 1e3;
        while (now() < end) {
            struct pollfd p = { s, POLLIN, 0 };
            if (poll(&p, 1, tmo) != 1) { fprintf(stderr, "silent for %d ms\n", tmo); goto out; }
            ssize_t r = read(s, b, sizeof b - 1);
            if (r <= 0) { fprintf(stderr, "broken: %s\n", r ? strerror(errno) : "end of file"); goto out; }
            b[r] = 0;
            for (char *q = b; *q; q++) if (*q == '\n') lines++;
            if (n2++ && now() - last > maxgap) maxgap = now() - last;
            last = now();
            if (sscanf(b, "%100s %*d", who) != 1) ;
        }
        broke = 0;
out:    printf("lines %d server %s maxgap_ms %.0f\n", lines, who, maxgap);
        return broke;
    }
    return 2;
}
