/* ipvs-stand-in.so - a table of IPVS in memory, for a kernel that has none.
 *
 * Preloaded into a daemon, it answers what the daemon asks the generic netlink
 * family IPVS as the kernel would: services and destinations are kept, dumped,
 * refused where they are there already or are not there.  It balances nothing.
 * What is asked of everybody else goes to the kernel untouched.  Answers are
 * put into the daemon's own socket by a second one, so that poll and the like
 * work; what is received from that one seems to come from the kernel.
 *
 * The file named by IPVS_STAND_IN is the table; all processes of the daemon
 * share it, as they would the kernel's.  It begins with a journal of changes,
 * which benches/checks reads: see struct table.
 *
 *   gcc -O2 -shared -fPIC -o ipvs-stand-in.so ipvs-stand-in.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FAMILY 0x3ffe
#define CHANGES (1 << 20)
#define SERVICES (1 << 13)
#define DESTINATIONS (1 << 17)
#define HASH (1 << 15)
#define DESCRIPTORS 65536
#define CHUNK 8192

struct change { uint64_t ns; uint32_t command; int32_t weight; uint8_t address[4]; uint16_t port; uint16_t none; };
struct key { uint16_t family, protocol; uint32_t mark; uint8_t address[16]; uint16_t port, none; };
struct service { struct key key; uint32_t used, first, next, length; uint8_t attributes[160]; };
struct destination { uint8_t address[16]; uint16_t port, length; uint32_t next; uint8_t attributes[168]; };
struct table {
	uint64_t changes, services_there, destinations_there, spare;
	struct change journal[CHANGES];
	uint32_t services, destinations, free;           /* how many places were ever used; 0 is none */
	uint32_t hash[HASH];
	struct service service[SERVICES];
	struct destination destination[DESTINATIONS];
};
struct dump { int command; uint32_t service, destination, sequence, port; };

static struct table *table;
static unsigned char generic[DESCRIPTORS];
static struct dump dumps[DESCRIPTORS];
static int helper = -1;
static pid_t helper_of;
static uint32_t helper_port;
static int (*real_socket)(int, int, int);
static int (*real_close)(int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static ssize_t (*real_recvmsg)(int, struct msghdr *, int);

static void begin(void)
{
	if (real_socket) return;
	real_close = dlsym(RTLD_NEXT, "close");
	real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
	real_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
	real_socket = dlsym(RTLD_NEXT, "socket");
	const char *name = getenv("IPVS_STAND_IN");
	int fd = name ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	if (fd < 0 || ftruncate(fd, sizeof *table)) return;
	void *memory = mmap(0, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED) table = memory;
	real_close(fd);
}

static void deliver(int fd, const void *bytes, size_t length)
{
	struct sockaddr_nl to; socklen_t size = sizeof to;
	if (getsockname(fd, (void *)&to, &size)) return;
	if (helper < 0 || helper_of != getpid() || fcntl(helper, F_GETFD) < 0) {
		struct sockaddr_nl self = { .nl_family = AF_NETLINK };
		helper = real_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
		bind(helper, (void *)&self, sizeof self);
		size = sizeof self; getsockname(helper, (void *)&self, &size);
		helper_of = getpid(); helper_port = self.nl_pid;
	}
	struct iovec vector = { (void *)bytes, length };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &vector, .msg_iovlen = 1 };
	real_sendmsg(helper, &message, 0);
}

static void acknowledge(int fd, const struct nlmsghdr *asked, int error)
{
	struct { struct nlmsghdr head; struct nlmsgerr error; } answer = {
		{ sizeof answer, NLMSG_ERROR, 0, asked->nlmsg_seq, asked->nlmsg_pid }, { error, *asked } };
	deliver(fd, &answer, sizeof answer);
}

static char *attribute(char *at, int kind, const void *value, int length)
{
	struct nlattr head = { NLA_HDRLEN + length, kind };
	memcpy(at, &head, sizeof head);
	memcpy(at + NLA_HDRLEN, value, length);
	memset(at + NLA_HDRLEN + length, 0, NLA_ALIGN(length) - length);
	return at + NLA_HDRLEN + NLA_ALIGN(length);
}

/* The value of an attribute among others; its length, or -1. */
static int find(const char *at, int length, int kind, const char **value)
{
	while (length >= (int)NLA_HDRLEN) {
		const struct nlattr *head = (const void *)at;
		if (head->nla_len < NLA_HDRLEN || head->nla_len > length) return -1;
		if ((head->nla_type & NLA_TYPE_MASK) == kind) { *value = at + NLA_HDRLEN; return head->nla_len - NLA_HDRLEN; }
		length -= NLA_ALIGN(head->nla_len); at += NLA_ALIGN(head->nla_len);
	}
	return -1;
}
static void copy(void *to, int size, const char *from, int length, int kind)
{
	const char *value; int found = find(from, length, kind, &value);
	if (found > 0) memcpy(to, value, found < size ? found : size);
}

static struct key service_key(const char *nest, int length)
{
	struct key key; memset(&key, 0, sizeof key);
	copy(&key.family, 2, nest, length, IPVS_SVC_ATTR_AF);
	copy(&key.mark, 4, nest, length, IPVS_SVC_ATTR_FWMARK);
	if (key.mark) return key;
	copy(&key.protocol, 2, nest, length, IPVS_SVC_ATTR_PROTOCOL);
	copy(key.address, 16, nest, length, IPVS_SVC_ATTR_ADDR);
	copy(&key.port, 2, nest, length, IPVS_SVC_ATTR_PORT);
	return key;
}
static uint32_t *bucket(const struct key *key)
{
	const uint8_t *byte = (const void *)key; uint32_t sum = 2166136261u;
	for (size_t i = 0; i < sizeof *key; i++) sum = (sum ^ byte[i]) * 16777619u;
	return &table->hash[sum % HASH];
}
/* Where the number of the service is kept, or would be. */
static uint32_t *service_at(const struct key *key)
{
	uint32_t *place = bucket(key);
	while (*place && memcmp(&table->service[*place].key, key, sizeof *key)) place = &table->service[*place].next;
	return place;
}
static uint32_t *destination_at(struct service *service, const uint8_t *address, uint16_t port)
{
	uint32_t *place = &service->first;
	while (*place) {
		struct destination *there = &table->destination[*place];
		if (there->port == port && !memcmp(there->address, address, 16)) break;
		place = &there->next;
	}
	return place;
}
static void journal(int command, const uint8_t *address, uint16_t port, int weight)
{
	struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
	struct change *change = &table->journal[table->changes % CHANGES];
	*change = (struct change){ now.tv_sec * 1000000000ull + now.tv_nsec, command, weight, {}, port, 0 };
	memcpy(change->address, address, 4);
	__atomic_add_fetch(&table->changes, 1, __ATOMIC_RELEASE);
}
static void drop_destination(uint32_t *place)
{
	uint32_t number = *place; struct destination *there = &table->destination[number];
	*place = there->next; there->next = table->free; table->free = number;
	table->destinations_there--;
}
static void drop_service(uint32_t *place)
{
	struct service *there = &table->service[*place];
	while (there->first) drop_destination(&there->first);
	*place = there->next; there->used = 0;
	table->services_there--;
}

/* Gives what the kernel would: 0 or an error. */
static int change(int command, const char *at, int length)
{
	const char *nest = at, *inner = at; uint8_t none[4] = { 0 };
	if (command == IPVS_CMD_FLUSH) {
		for (uint32_t i = 1; i <= table->services; i++)
			if (table->service[i].used) drop_service(service_at(&table->service[i].key));
		journal(command, none, 0, 0);
		return 0;
	}
	int size = find(at, length, IPVS_CMD_ATTR_SERVICE, &nest);
	if (size < 0) return -EINVAL;
	struct key key = service_key(nest, size);
	uint32_t *place = service_at(&key);
	if (command == IPVS_CMD_NEW_SERVICE && *place) return -EEXIST;
	if (command != IPVS_CMD_NEW_SERVICE && !*place) return -ESRCH;
	if (command == IPVS_CMD_NEW_SERVICE || command == IPVS_CMD_SET_SERVICE) {
		if (size > (int)sizeof table->service->attributes) return -ENOMEM;
		if (!*place) {
			if (table->services + 1 >= SERVICES) return -ENOMEM;
			*place = ++table->services; table->services_there++;
			table->service[*place] = (struct service){ .key = key, .used = 1 };
		}
		struct service *there = &table->service[*place];
		memcpy(there->attributes, nest, size); there->length = size;
		journal(command, key.address, key.port, 0);
		return 0;
	}
	if (command == IPVS_CMD_DEL_SERVICE) { drop_service(place); journal(command, key.address, key.port, 0); return 0; }
	struct service *service = &table->service[*place];
	int more = find(at, length, IPVS_CMD_ATTR_DEST, &inner);
	if (more < 0 || more > (int)sizeof table->destination->attributes) return -EINVAL;
	uint8_t address[16] = { 0 }; uint16_t port = 0; int weight = 0;
	copy(address, 16, inner, more, IPVS_DEST_ATTR_ADDR);
	copy(&port, 2, inner, more, IPVS_DEST_ATTR_PORT);
	copy(&weight, 4, inner, more, IPVS_DEST_ATTR_WEIGHT);
	uint32_t *entry = destination_at(service, address, port);
	if (command == IPVS_CMD_NEW_DEST && *entry) return -EEXIST;
	if (command != IPVS_CMD_NEW_DEST && !*entry) return -ENOENT;
	if (command == IPVS_CMD_DEL_DEST) { drop_destination(entry); journal(command, address, port, 0); return 0; }
	if (!*entry) {
		uint32_t number = table->free;
		if (number) table->free = table->destination[number].next;
		else if (table->destinations + 1 >= DESTINATIONS) return -ENOMEM;
		else number = ++table->destinations;
		*entry = number; table->destination[number].next = 0; table->destinations_there++;
		memcpy(table->destination[number].address, address, 16);
		table->destination[number].port = port;
	}
	struct destination *there = &table->destination[*entry];
	memcpy(there->attributes, inner, more); there->length = more;
	journal(command, address, port, weight);
	return 0;
}

static char *item(char *at, const struct dump *dump, int command, int kind, const void *attributes, int length)
{
	struct nlmsghdr *head = (void *)at; struct genlmsghdr generic_head = { .cmd = command, .version = 1 };
	memcpy(at + NLMSG_HDRLEN, &generic_head, sizeof generic_head);
	char *end = attribute(at + NLMSG_HDRLEN + GENL_HDRLEN, kind | NLA_F_NESTED, attributes, length);
	*head = (struct nlmsghdr){ end - at, FAMILY, NLM_F_MULTI, dump->sequence, dump->port };
	return end;
}

/* The next piece of a dump, as large as one datagram. */
static void go_on(int fd)
{
	struct dump *dump = &dumps[fd]; char bytes[CHUNK], *at = bytes;
	if (!dump->command) return;
	while (at - bytes < CHUNK - 512) {
		if (dump->command == IPVS_CMD_GET_SERVICE && dump->service <= table->services) {
			struct service *there = &table->service[dump->service++];
			if (there->used) at = item(at, dump, IPVS_CMD_NEW_SERVICE, IPVS_CMD_ATTR_SERVICE, there->attributes, there->length);
		} else if (dump->command == IPVS_CMD_GET_DEST && dump->destination) {
			struct destination *there = &table->destination[dump->destination];
			dump->destination = there->next;
			at = item(at, dump, IPVS_CMD_NEW_DEST, IPVS_CMD_ATTR_DEST, there->attributes, there->length);
		} else {
			struct { struct nlmsghdr head; int error; } done = { { sizeof done, NLMSG_DONE, NLM_F_MULTI, dump->sequence, dump->port }, 0 };
			memcpy(at, &done, sizeof done); at += sizeof done; dump->command = 0;
			break;
		}
	}
	deliver(fd, bytes, at - bytes);
}

/* Whether the request was one for IPVS, which has been answered then. */
static int answer(int fd, const struct nlmsghdr *head)
{
	const char *bytes = (const void *)head; const struct genlmsghdr *asked = (const void *)(bytes + NLMSG_HDRLEN);
	if (head->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN) return 0;
	const char *at = bytes + NLMSG_HDRLEN + GENL_HDRLEN, *value; int length = head->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;
	char out[256], *end = out + NLMSG_HDRLEN + GENL_HDRLEN; int error = 0;
	struct nlmsghdr *answered = (void *)out; struct genlmsghdr *told = (void *)(out + NLMSG_HDRLEN);
	*answered = (struct nlmsghdr){ 0, FAMILY, 0, head->nlmsg_seq, head->nlmsg_pid };
	if (head->nlmsg_type == GENL_ID_CTRL && asked->cmd == CTRL_CMD_GETFAMILY) {
		if (find(at, length, CTRL_ATTR_FAMILY_NAME, &value) < 4 || strncmp(value, "IPVS", 5)) return 0;
		uint16_t number = FAMILY; uint32_t version = 1, size = 0, most = IPVS_CMD_ATTR_MAX;
		end = attribute(end, CTRL_ATTR_FAMILY_NAME, "IPVS", 5);
		end = attribute(end, CTRL_ATTR_FAMILY_ID, &number, 2);
		end = attribute(end, CTRL_ATTR_VERSION, &version, 4);
		end = attribute(end, CTRL_ATTR_HDRSIZE, &size, 4);
		end = attribute(end, CTRL_ATTR_MAXATTR, &most, 4);
		answered->nlmsg_type = GENL_ID_CTRL; *told = (struct genlmsghdr){ CTRL_CMD_NEWFAMILY, 2, 0 };
	} else if (head->nlmsg_type != FAMILY) {
		return 0;
	} else if (asked->cmd == IPVS_CMD_GET_INFO) {
		uint32_t version = 0x010201, size = 4096;
		end = attribute(end, IPVS_INFO_ATTR_VERSION, &version, 4);
		end = attribute(end, IPVS_INFO_ATTR_CONN_TAB_SIZE, &size, 4);
		*told = (struct genlmsghdr){ IPVS_CMD_SET_INFO, 1, 0 };
	} else if (asked->cmd == IPVS_CMD_GET_CONFIG) {
		uint32_t tcp = 900, fin = 120, udp = 300;
		end = attribute(end, IPVS_CMD_ATTR_TIMEOUT_TCP, &tcp, 4);
		end = attribute(end, IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, &fin, 4);
		end = attribute(end, IPVS_CMD_ATTR_TIMEOUT_UDP, &udp, 4);
		*told = (struct genlmsghdr){ IPVS_CMD_SET_CONFIG, 1, 0 };
	} else if ((head->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
		struct dump *dump = &dumps[fd];
		*dump = (struct dump){ asked->cmd, 1, 0, head->nlmsg_seq, head->nlmsg_pid };
		int size = find(at, length, IPVS_CMD_ATTR_SERVICE, &value);
		if (asked->cmd == IPVS_CMD_GET_DEST && size > 0) {
			struct key key = service_key(value, size);
			dump->destination = table->service[*service_at(&key)].first;
		}
		go_on(fd);
		return 1;
	} else if (asked->cmd <= IPVS_CMD_DEL_DEST || asked->cmd == IPVS_CMD_FLUSH) {
		error = asked->cmd == IPVS_CMD_GET_SERVICE ? -ESRCH : change(asked->cmd, at, length);
	}
	if (end > out + NLMSG_HDRLEN + GENL_HDRLEN) { answered->nlmsg_len = end - out; deliver(fd, out, end - out); }
	if (error || (head->nlmsg_flags & NLM_F_ACK)) acknowledge(fd, head, error);
	return 1;
}

static int ours(int fd) { return table && fd >= 0 && fd < DESCRIPTORS && generic[fd]; }

int socket(int domain, int kind, int protocol)
{
	begin();
	int fd = real_socket(domain, kind, protocol);
	if (fd >= 0 && fd < DESCRIPTORS) { generic[fd] = domain == AF_NETLINK && protocol == NETLINK_GENERIC; dumps[fd].command = 0; }
	return fd;
}
int close(int fd)
{
	begin();
	if (fd >= 0 && fd < DESCRIPTORS) generic[fd] = 0;
	return real_close(fd);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	begin();
	if (ours(fd)) {
		static __thread uint64_t space[(64 << 10) / 8]; char *bytes = (void *)space; size_t length = 0, at = 0; int answered = 0;
		for (size_t i = 0; i < message->msg_iovlen; i++) {
			if (length + message->msg_iov[i].iov_len > sizeof space) return real_sendmsg(fd, message, flags);
			memcpy(bytes + length, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
			length += message->msg_iov[i].iov_len;
		}
		while (at + sizeof(struct nlmsghdr) <= length) {
			const struct nlmsghdr *head = (const void *)(bytes + at);
			if (head->nlmsg_len < sizeof *head || head->nlmsg_len > length - at || !answer(fd, head)) break;
			answered = 1; at += NLMSG_ALIGN(head->nlmsg_len);
		}
		if (answered) return length;
	}
	return real_sendmsg(fd, message, flags);
}
ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
	struct iovec vector = { (void *)bytes, length };
	struct msghdr message = { .msg_name = (void *)to, .msg_namelen = to ? size : 0, .msg_iov = &vector, .msg_iovlen = 1 };
	return sendmsg(fd, &message, flags);
}
ssize_t send(int fd, const void *bytes, size_t length, int flags) { return sendto(fd, bytes, length, flags, 0, 0); }
ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	begin();
	if (ours(fd)) go_on(fd);
	ssize_t length = real_recvmsg(fd, message, flags);
	struct sockaddr_nl *from = message->msg_name;
	if (length >= 0 && ours(fd) && from && message->msg_namelen >= sizeof *from && from->nl_pid == helper_port) from->nl_pid = 0;
	return length;
}
ssize_t recvfrom(int fd, void *bytes, size_t length, int flags, struct sockaddr *from, socklen_t *size)
{
	struct iovec vector = { bytes, length };
	struct msghdr message = { .msg_name = from, .msg_namelen = from && size ? *size : 0, .msg_iov = &vector, .msg_iovlen = 1 };
	ssize_t got = recvmsg(fd, &message, flags);
	if (got >= 0 && from && size) *size = message.msg_namelen;
	return got;
}
ssize_t recv(int fd, void *bytes, size_t length, int flags) { return recvfrom(fd, bytes, length, flags, 0, 0); }
