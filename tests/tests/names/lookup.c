/* Asks the C library for a name's addresses: built against musl, it is what programs of Alpine do. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **arguments)
{
	struct addrinfo wish, *found, *each;
	char text[64];
	int failed;

	if (count != 2)
		return 2;
	memset(&wish, 0, sizeof wish);
	wish.ai_socktype = SOCK_STREAM;
	failed = getaddrinfo(arguments[1], NULL, &wish, &found);
	if (failed) {
		fprintf(stderr, "%s\n", gai_strerror(failed));
		return 1;
	}
	for (each = found; each; each = each->ai_next) {
		if (getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST))
			return 1;
		puts(text);
	}
	freeaddrinfo(found);
	return 0;
}
