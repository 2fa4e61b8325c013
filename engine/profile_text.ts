// profile_text.ts - the text on which a model's profile is measured: about 2,000 tokens of many
// kinds, since a basis measured on one kind alone serves others badly (METHOD section 7). Written
// for this purpose; it holds no word of the texts that evaluations use.

/** Prose, dialogue, lists, numbers, mark-up, code and six languages. */
export const profileText: string = String.raw`
The lighthouse keeper had counted the same eleven ships every evening for a month, and on the
thirty-second evening there were twelve. He put down the brass telescope, wiped it, and counted
again from the other side of the bay. The new one lay low in the water, without a flag, and nobody
moved on its deck. By the time the harbour master had been found and had found his boots, the tide
had turned, and the stranger had gone with it. What remained was a smell of cinnamon, a length of
tarred rope, and an argument that lasted until spring.

"You might have rung the bell," said the harbour master.
"You might have answered it," said the keeper. "I rang it twice in March."
"In March I was in Lisbon!"
"Exactly," said the keeper, and went up to light the lamp.

Soil is a mixture of minerals, organic matter, water and air. Its texture depends on the share of
sand, silt and clay: sandy soils drain quickly and warm early, clay holds water and nutrients but
is heavy to work. Most crops grow best between pH 6.0 and 7.0, where phosphorus is available to
the roots. A simple test: wet a handful, press it, and see whether the ribbon that forms between
thumb and finger breaks before it is two centimetres long.

Ingredients: 500 g flour, 320 ml water, 10 g salt, 7 g dry yeast.
1. Mix flour and water, and let them rest for 30 minutes.
2. Add salt and yeast; knead for 8 to 10 minutes.
3. Let the dough rise until it has doubled, about 75 minutes at 24 degrees.
4. Shape, rest for 40 minutes, bake at 240 degrees for 25 minutes.

| station | opened | lines | passengers 2019 | passengers 2021 |
|---|---|---|---|---|
| Northgate | 1904 | 2 | 1,284,310 | 702,118 |
| Mill Lane | 1931 | 1 | 391,027 | 255,940 |
| Harbour East | 1987 | 3 | 2,046,555 | 1,330,862 |

2024-02-29T23:59:58Z WARN  queue depth 4096 above 2048, shedding 12.5 % of requests (id=7f3a91c0)
2024-03-01T00:00:03Z ERROR connection to 10.42.0.17:5432 refused after 3 attempts; retry in 800 ms

{"order": 58213, "customer": {"name": "J. Okafor", "vip": false}, "items": [
  {"sku": "AX-7719", "quantity": 3, "price": 14.95}, {"sku": "QP-0042", "quantity": 1, "price": 249}
], "shipped": null, "notes": "leave at the back door"}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("median of no values");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

def primes(limit):
    """Yield every prime below limit, by the sieve."""
    sieve = bytearray([1]) * limit
    for n in range(2, limit):
        if sieve[n]:
            yield n
            sieve[n * n :: n] = bytes(len(range(n * n, limit, n)))

#include <stdint.h>
static uint32_t crc_of(const uint8_t *bytes, size_t count) {
    uint32_t crc = 0xffffffffu;
    while (count--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1u));
    }
    return ~crc;
}

SELECT d.name, COUNT(*) AS people, AVG(e.salary) AS mean_salary
FROM employees AS e JOIN departments AS d ON d.id = e.department_id
WHERE e.hired < '2015-01-01' GROUP BY d.name HAVING COUNT(*) > 5 ORDER BY mean_salary DESC;

<article class="note"><h2>Opening hours</h2><p>Monday to Friday, <b>9:00</b> to <b>17:30</b>.
Closed on public holidays.</p><a href="/contact?topic=hours&amp;lang=en">Ask us</a></article>

Theorem. If n is odd, then n^2 = 1 (mod 8). Proof. Write n = 2k + 1; then n^2 = 4k(k + 1) + 1, and
of k and k + 1 one is even, so 4k(k + 1) is a multiple of 8. Hence the square of every odd number
leaves the remainder 1. Examples: 3^2 = 9 = 8 + 1, 5^2 = 25 = 3 * 8 + 1, 11^2 = 121 = 15 * 8 + 1.

Remember these: the code of the green lantern is 48213; the gate on the river side opens at 6:40;
locker 117 belongs to Anna, locker 118 to Miguel, locker 121 to nobody. Which locker is Miguel's?
Locker 118 is Miguel's. What is the code of the green lantern? The code of the green lantern is
48213. When does the gate on the river side open? It opens at 6:40.

User: My train leaves at 14:05 and the walk takes 25 minutes. When should I go?
Assistant: Leave by 13:30. That gives you 25 minutes for the walk and ten to find the platform.
User: And if I take the bus?
Assistant: The bus takes about 12 minutes, but it runs every 20 minutes, so check the timetable
first; if one leaves at 13:40, you will be at the station at 13:52.

Der alte Uhrmacher öffnete das Gehäuse, hielt den Atem an und hörte. Zwischen zwei Schlägen lag
eine Stille, die länger war, als sie sein durfte. "Sie geht nicht falsch", sagte er schließlich,
"sie zögert nur." Die Reparatur kostete 38,50 Euro und dauerte bis Donnerstag.

Le marché ouvre à sept heures, mais les meilleurs fromages partent avant la demie. Ma grand-mère
disait qu'il faut toujours goûter, jamais demander le prix d'abord, et ne rien acheter à quelqu'un
qui ne sourit pas. Elle revenait avec trois paniers et la moitié de son argent.

El río creció durante la noche y por la mañana el puente ya no estaba. Los vecinos se reunieron en
la plaza, contaron las sillas, las cabras y los niños, y decidieron construir otro más alto.

Вечером мы сидели на крыльце и слушали, как дождь стучит по крыше. Дед рассказывал о реке, которая
каждую весну меняла своё русло, и о рыбаке, который всегда знал, где она будет завтра.

春になると、山の雪がとけて川の水が増える。村の人々は橋のそばに集まり、今年の田植えの日を決める。
城里的图书馆每天上午九点开门，下午六点关门。星期三晚上有讲座，入场免费，但是座位不多。
`;
