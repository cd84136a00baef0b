/* The n-th Fibonacci number by GMP, for scripts/bench-fibonacci. The reply to a line "time N" is the time from n to the
   decimal digits in nanoseconds, the reply to "digits N" is the digits. */
#include <gmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(void) {
  char order[16];
  unsigned long n;
  while (scanf("%15s %lu", order, &n) == 2) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    mpz_t number;
    mpz_init(number);
    mpz_fib_ui(number, n);
    char *digits = mpz_get_str(NULL, 10, number);
    mpz_clear(number);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (strcmp(order, "digits") == 0)
      puts(digits);
    else
      printf("%lld\n", (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec);
    free(digits);
    fflush(stdout);
  }
  return 0;
}
