/*
 * paced: requests at times fixed beforehand, whatever becomes of the answers (an open loop).
 *
 *     paced short|tracked|kept|dns HOST PORT RATE COUNT even|poisson SEED LIMIT
 *
 * short and tracked make a connection for each request, tracked from one of SOURCES addresses;
 * kept opens LIMIT connections beforehand, dns LIMIT sockets. COUNT requests are due at RATE a
 * second, evenly or as a Poisson process; RATE 0: all at once. At most LIMIT are under way; one
 * that is due meanwhile waits, and its waiting is part of its latency.
 *
 * Written to standard output for each request, in the order they were due: two int64_t of this
 * machine, the nanoseconds from when it was due until its whole answer had been read (-1 if a
 * datagram was lost, and its place with it), and until it was sent (-1 if it had to wait for a
 * place, which is not this program's lateness). Every answer is checked: one that is wrong, or
 * does not come by TCP, ends the program with status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PAGE_BYTES
#define PAGE_BYTES 1024 /* of the body of each answer */
#endif
#define SOURCES 2000
#define FIRST_SOURCE 0x7f100000 /* 127.16.0.0 */
#define PATIENCE 5              /* seconds without any event until an answer is missing */
#define LOST 1                  /* the same for datagrams, which may be lost */
#define EVENTS 8                /* looked at before the clock again */
#define ROOM 4096               /* for an answer */
#define SECOND INT64_C(1000000000)

#define CLOSING "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
#define KEEPING "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
/* RFC 1035, 4.1: number, one question, then www.bench.test, A, IN. */
#define QUERY "\0\0\0\0\0\1\0\0\0\0\0\0\3www\5bench\4test\0\0\1\0\1"
#define DNS_HEAD 12

struct kind {
    const char *name;
    int type;
    bool lasts;   /* sockets serve request after request */
    bool tracked; /* from many addresses */
    const char *request;
    size_t length;
};

static const struct kind kinds[] = {
    {"short", SOCK_STREAM, false, false, CLOSING, sizeof CLOSING - 1},
    {"tracked", SOCK_STREAM, false, true, CLOSING, sizeof CLOSING - 1},
    {"kept", SOCK_STREAM, true, false, KEEPING, sizeof KEEPING - 1},
    {"dns", SOCK_DGRAM, true, false, QUERY, sizeof QUERY - 1},
};

enum state { UNSENT, BLOCKED, ASKED, ANSWERED };

struct place { /* for one request at a time */
    int fd;
    enum state state;
    long request;
    size_t got;
    char answer[ROOM];
};

struct request {
    int64_t due, sent, answered;
};

static const struct kind *kind;
static struct sockaddr_in balancer;
static struct request *requests;
static struct place *places;
static struct place **idle; /* a ring of `limit`, so that all take turns */
static long count, limit, idle_first, idle_count, done;
static int64_t full_until; /* until then all places were taken */
static int poller;

static void die(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("paced: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void watch(struct place *place, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = place};
    if (epoll_ctl(poller, operation, place->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void bind_source(int fd) {
    struct sockaddr_in source = {.sin_family = AF_INET};
    int yes = 1;
    source.sin_addr.s_addr = htonl(FIRST_SOURCE + lrand48() % SOURCES);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0)
        die("bind: %s", strerror(errno));
}

static void open_socket(struct place *place) {
    place->fd = socket(AF_INET, kind->type | SOCK_NONBLOCK, 0);
    if (place->fd < 0)
        die("socket: %s", strerror(errno));
    if (kind->tracked)
        bind_source(place->fd);
    if (connect(place->fd, (struct sockaddr *)&balancer, sizeof balancer) < 0 &&
        errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    watch(place, EPOLL_CTL_ADD, EPOLLIN);
}

static void send_request(struct place *place) {
    char text[128];
    memcpy(text, kind->request, kind->length);
    if (kind->type == SOCK_DGRAM) {
        text[0] = (char)(place->request >> 8);
        text[1] = (char)place->request;
    }
    if (send(place->fd, text, kind->length, MSG_NOSIGNAL) == (ssize_t)kind->length) {
        if (place->state == BLOCKED)
            watch(place, EPOLL_CTL_MOD, EPOLLIN);
        place->state = ASKED;
    } else if (errno != EAGAIN) {
        die("send: %s", strerror(errno));
    } else if (place->state == UNSENT) {
        watch(place, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        place->state = BLOCKED;
    }
}

static void begin(long number, int64_t when) {
    struct place *place = idle[idle_first];
    idle_first = (idle_first + 1) % limit;
    idle_count--;
    place->request = number;
    place->state = UNSENT;
    place->got = 0;
    requests[number].sent = requests[number].due <= full_until ? -1 : when;
    if (!kind->lasts)
        open_socket(place);
    send_request(place);
}

static void release(struct place *place) {
    if (idle_count == 0)
        full_until = now();
    idle[(idle_first + idle_count++) % limit] = place;
    done++;
}

/* Whether the answer to a request of HTTP is whole; it ends the program if it is not a page. */
static bool is_page(const struct place *place) {
    const char *end = memmem(place->answer, place->got, "\r\n\r\n", 4);
    size_t body;
    if (end == NULL)
        return false;
    body = place->got - (size_t)(end + 4 - place->answer);
    if (strncmp(place->answer, "HTTP/1.1 200", 12) != 0 || body > PAGE_BYTES)
        die("a wrong answer of %zu bytes: %.*s", place->got, (int)strcspn(place->answer, "\r\n"),
            place->answer);
    return body == PAGE_BYTES;
}

/* Whether an answer of DNS is the one that is awaited; others are dropped, as resolvers do. */
static bool is_address(struct place *place) {
    const unsigned char *answer = (const unsigned char *)place->answer;
    if (place->got < DNS_HEAD || (answer[3] & 15) != 0 || (answer[6] << 8 | answer[7]) != 1)
        die("a wrong answer of %zu bytes from the name server", place->got);
    place->got = 0;
    return (answer[0] << 8 | answer[1]) == (place->request & 0xffff);
}

/* Read what has come; false when there was nothing, or nothing more can come. */
static bool receive(struct place *place) {
    ssize_t count = recv(place->fd, place->answer + place->got, ROOM - 1 - place->got, 0);
    if (count < 0 && errno == EAGAIN)
        return false;
    if (count < 0)
        die("recv: %s", strerror(errno));
    if (count == 0) {
        if (place->state != ANSWERED || kind->lasts)
            die("closed after %zu bytes of an answer", place->got);
        close(place->fd);
        release(place);
        return false;
    }
    place->got += (size_t)count;
    place->answer[place->got] = '\0';
    if (kind->type == SOCK_DGRAM ? is_address(place) : is_page(place)) {
        requests[place->request].answered = now();
        place->state = ANSWERED;
        if (kind->lasts) {
            release(place);
            return false;
        }
    }
    return true;
}

/* Wait for events until `when` (0: for ever), and deal with some. */
static void attend(int64_t when) {
    struct epoll_event events[EVENTS];
    int64_t wait = when ? when - now() : (kind->type == SOCK_DGRAM ? LOST : PATIENCE) * SECOND;
    struct timespec patience = {wait > 0 ? wait / SECOND : 0, wait > 0 ? wait % SECOND : 0};
    int found = epoll_pwait2(poller, events, EVENTS, &patience, NULL);
    if (found < 0 && errno != EINTR)
        die("epoll_pwait2: %s", strerror(errno));
    if (found == 0 && !when && kind->type == SOCK_DGRAM && idle_count > 0)
        done = count;
    else if (found == 0 && !when)
        die("no answer for %d s; %ld of %ld requests are answered", PATIENCE, done, count);
    for (int i = 0; i < found; i++) {
        struct place *place = events[i].data.ptr;
        if (place->state == BLOCKED)
            send_request(place);
        while (receive(place))
            ;
    }
}

static void run(void) {
    long next = 0;
    while (done < count) {
        int64_t when = now();
        while (next < count && requests[next].due <= when && idle_count > 0) {
            begin(next++, when);
            when = now();
        }
        attend(next < count && idle_count > 0 ? requests[next].due : 0);
    }
}

static void schedule(double rate, bool poisson) {
    int64_t start = now() + SECOND / 100;
    double at = 0;
    for (long i = 0; i < count; i++) {
        requests[i].due = start + (int64_t)(at * (double)SECOND);
        if (rate > 0)
            at += (poisson ? -log1p(-drand48()) : 1) / rate;
    }
}

static void prepare(void) {
    for (long i = 0; i < limit; i++) {
        idle[i] = &places[i];
        if (kind->lasts)
            open_socket(&places[i]);
    }
    idle_count = limit;
}

static void report(void) {
    for (long i = 0; i < count; i++) {
        const struct request *request = &requests[i];
        int64_t line[2] = {request->answered ? request->answered - request->due : -1,
                           request->sent < 0 ? -1 : request->sent - request->due};
        if (fwrite(line, sizeof line, 1, stdout) != 1)
            die("cannot write: %s", strerror(errno));
    }
    if (fflush(stdout) != 0)
        die("cannot write: %s", strerror(errno));
}

static void *need(void *memory) {
    if (memory == NULL)
        die("out of memory");
    return memory;
}

int main(int argc, char **argv) {
    if (argc != 9)
        die("eight arguments are needed; see the top of paced.c");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            kind = &kinds[i];
    balancer.sin_family = AF_INET;
    balancer.sin_port = htons((uint16_t)atoi(argv[3]));
    count = atol(argv[5]);
    limit = atol(argv[8]);
    if (kind == NULL || inet_pton(AF_INET, argv[2], &balancer.sin_addr) != 1 || count < 1 ||
        limit < 1)
        die("an argument is wrong; see the top of paced.c");
    requests = need(calloc((size_t)count, sizeof *requests));
    places = need(calloc((size_t)limit, sizeof *places));
    idle = need(calloc((size_t)limit, sizeof *idle));
    srand48(atol(argv[7]));
    prctl(PR_SET_TIMERSLACK, 1UL);
    poller = epoll_create1(0);
    prepare();
    schedule(atof(argv[4]), strcmp(argv[6], "poisson") == 0);
    run();
    report();
    return 0;
}
