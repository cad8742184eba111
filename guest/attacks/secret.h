/*
 * How an attack has somebody use the secret: by a request to the service that has it, or by a system
 * call in which the kernel uses it. Either may be done by any process.
 */
#ifndef SECRET_H
#define SECRET_H

#include <sched.h>
#include <sys/syscall.h>

#include "attack.h"
#include "service.h"

static int requests_to_service __attribute__((unused)) = -1, answers_of_service __attribute__((unused)) = -1;

static inline void open_secret(void)
{
	if (!options.call) {
		requests_to_service = open_service(options.service, REQUESTS);
		answers_of_service = open_service(options.service, ANSWERS);
	}
}

/* A request to compare what the service has from a place on; it answers no. */
static inline struct service_request guess_at(int place)
{
	return (struct service_request){ .place = place };
}

static inline void receive_answer(void)
{
	uint8_t answer;

	if (read(answers_of_service, &answer, 1) != 1)
		err(1, "service");
}

/* Whether an answer was left where it is. */
static int answer_waits __attribute__((unused));

static inline void send_guess(int place)
{
	struct service_request request = guess_at(place);

	if (answer_waits)
		receive_answer();
	answer_waits = 0;
	if (write(requests_to_service, &request, sizeof(request)) != sizeof(request))
		err(1, "service");
}

static inline void use_secret(int place)
{
	if (options.call) {
		syscall(options.call, 0);
		return;
	}
	send_guess(place);
	receive_answer();
}

/*
 * The same by another way: the service runs because this process lets others run, and need not wake it.
 * The answer is received before the next guess.
 */
static inline void use_secret_beside(int place)
{
	enum { YIELDS_TO_SERVICE = 4 };

	if (options.call) {
		syscall(options.call, 0);
		return;
	}
	send_guess(place);
	for (int i = 0; i < YIELDS_TO_SERVICE; i++)
		sched_yield();
	answer_waits = 1;
}

/*
 * Has the secret used by a system call right behind which something is to be done: call makes the
 * system call that it is given, and does that. The service may run as soon as it has been asked,
 * before that call returns, or when its answer is waited for; so it is the one or the other by chance.
 * In turns, the scheduler may have it run at the other one each time.
 */
static inline void use_secret_by(void (*call)(long number, long first, const void *second, long third), int place)
{
	struct service_request request = guess_at(place);
	uint8_t answer;

	if (options.call) {
		call(options.call, 0, NULL, 0);
	} else if (next_random() & 1) {
		send_guess(place);
		call(SYS_read, answers_of_service, &answer, 1);
	} else {
		call(SYS_write, requests_to_service, &request, sizeof(request));
		receive_answer();
	}
}

#endif
