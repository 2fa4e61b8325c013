"""faiss: the 1,024 nearest of 131,072 codes to one query, dimension 128.

argv: threads, tokens, k, copies. Indexes of the same random vectors:
  flat-128, flat-256   IndexBinaryFlat over signs of 128 channels, or of 256 random directions
  flat-256-counts      the same with use_heap off, which counts distances instead of a heap
  pq                   IndexPQFastScan, 64 parts of 4 bits: as many bytes as our 2-bit keys
  rabitq               IndexRaBitQFastScan, 1 bit a channel and two factors
`copies` of each are searched in turn.
"""

import sys
import time

import faiss
import numpy

import rival

DIM = 128


class Scan:
    def __init__(self, threads, tokens, k, copies):
        faiss.omp_set_num_threads(threads)
        self.k, self.copies, self.next = k, copies, 0
        random = numpy.random.default_rng(1)
        self.vectors = random.standard_normal((tokens, DIM), "f4")
        self.query = random.standard_normal((1, DIM), "f4")
        self.directions = random.standard_normal((DIM, 256), "f4")
        self.best = set(numpy.argsort(-(self.vectors @ self.query[0]))[:k].tolist())
        self.indexes = {}

    def signs(self, vectors, bits):
        turned = vectors if bits == DIM else vectors @ self.directions
        return numpy.packbits(turned > 0, axis=1)

    def make(self, kind):
        if kind.startswith("flat"):
            bits = int(kind.split("-")[1])
            codes, query = self.signs(self.vectors, bits), self.signs(self.query, bits)
            indexes = []
            for _ in range(self.copies):
                indexes.append(faiss.IndexBinaryFlat(bits))
                indexes[-1].add(codes)
                indexes[-1].use_heap = not kind.endswith("counts")
            return indexes, query
        index = {
            "pq": lambda: faiss.IndexPQFastScan(DIM, DIM // 2, 4, faiss.METRIC_INNER_PRODUCT),
            "rabitq": lambda: faiss.IndexRaBitQFastScan(DIM, faiss.METRIC_INNER_PRODUCT),
        }[kind]()
        index.train(self.vectors[:: len(self.vectors) // 8192])
        index.add(self.vectors)
        written = faiss.serialize_index(index)
        return [faiss.deserialize_index(written) for _ in range(self.copies)], self.query

    def search(self, kind):
        indexes, query = self.indexes[kind]
        self.next += 1
        return indexes[self.next % self.copies].search(query, self.k)[1]

    def answer(self, ask):
        kind = ask["do"]
        if kind not in self.indexes:
            self.indexes[kind] = self.make(kind)
        if "passes" not in ask:
            found = set(self.search(kind)[0].tolist())
            return {"recall": len(found & self.best) / self.k, "version": faiss.__version__}
        started = time.perf_counter()
        for _ in range(ask["passes"]):
            self.search(kind)
        return {"ms": (time.perf_counter() - started) * 1e3 / ask["passes"]}


rival.serve(Scan(*(int(text) for text in sys.argv[1:])).answer)
