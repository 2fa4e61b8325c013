// sources.ts - the native sources as text, for a package that lies in no folder. Written by
// tools/sources.ts. To be imported by import() alone, see ensure.ts.
import cudaArgmaxCu from "../cuda/argmax.cu" with { type: "text" };
import cudaAttendCu from "../cuda/attend.cu" with { type: "text" };
import cudaBlockCuh from "../cuda/block.cuh" with { type: "text" };
import cudaChooseCu from "../cuda/choose.cu" with { type: "text" };
import cudaCodedCuh from "../cuda/coded.cuh" with { type: "text" };
import cudaCublasCu from "../cuda/cublas.cu" with { type: "text" };
import cudaCublasH from "../cuda/cublas.h" with { type: "text" };
import cudaDecoderCu from "../cuda/decoder.cu" with { type: "text" };
import cudaDeviceCu from "../cuda/device.cu" with { type: "text" };
import cudaEncodeCu from "../cuda/encode.cu" with { type: "text" };
import cudaEncodePaperCuh from "../cuda/encode_paper.cuh" with { type: "text" };
import cudaExactCuh from "../cuda/exact.cuh" with { type: "text" };
import cudaFastCu from "../cuda/fast.cu" with { type: "text" };
import cudaFastH from "../cuda/fast.h" with { type: "text" };
import cudaFetchCu from "../cuda/fetch.cu" with { type: "text" };
import cudaFetchH from "../cuda/fetch.h" with { type: "text" };
import cudaKernelsH from "../cuda/kernels.h" with { type: "text" };
import cudaMergeCuh from "../cuda/merge.cuh" with { type: "text" };
import cudaPiecesCuh from "../cuda/pieces.cuh" with { type: "text" };
import cudaPrefillCu from "../cuda/prefill.cu" with { type: "text" };
import cudaProductCuh from "../cuda/product.cuh" with { type: "text" };
import cudaProjectCu from "../cuda/project.cu" with { type: "text" };
import cudaProjectTileCuh from "../cuda/project_tile.cuh" with { type: "text" };
import cudaRotationCuh from "../cuda/rotation.cuh" with { type: "text" };
import cudaRowsCu from "../cuda/rows.cu" with { type: "text" };
import cudaScanCu from "../cuda/scan.cu" with { type: "text" };
import cudaSettleCu from "../cuda/settle.cu" with { type: "text" };
import cudaSlotsCu from "../cuda/slots.cu" with { type: "text" };
import cudaSlotsCuh from "../cuda/slots.cuh" with { type: "text" };
import cudaStreamH from "../cuda/stream.h" with { type: "text" };
import cudaTableCu from "../cuda/table.cu" with { type: "text" };
import cudaTableH from "../cuda/table.h" with { type: "text" };
import cudaTermsCuh from "../cuda/terms.cuh" with { type: "text" };
import abiCpp from "../native/abi.cpp" with { type: "text" };
import abiH from "../native/abi.h" with { type: "text" };
import abiStepCpp from "../native/abi_step.cpp" with { type: "text" };
import abiToolsCpp from "../native/abi_tools.cpp" with { type: "text" };
import appendCpp from "../native/append.cpp" with { type: "text" };
import auditCpp from "../native/audit.cpp" with { type: "text" };
import auditH from "../native/audit.h" with { type: "text" };
import benchCpp from "../native/bench.cpp" with { type: "text" };
import benchH from "../native/bench.h" with { type: "text" };
import borrowedH from "../native/borrowed.h" with { type: "text" };
import codesH from "../native/codes.h" with { type: "text" };
import cpuAmxColumnsH from "../native/cpu/amx/columns.h" with { type: "text" };
import cpuAmxInputsH from "../native/cpu/amx/inputs.h" with { type: "text" };
import cpuAmxPrefillCpp from "../native/cpu/amx/prefill.cpp" with { type: "text" };
import cpuAmxProjectCpp from "../native/cpu/amx/project.cpp" with { type: "text" };
import cpuAmxThirdsH from "../native/cpu/amx/thirds.h" with { type: "text" };
import cpuAmxTilesH from "../native/cpu/amx/tiles.h" with { type: "text" };
import cpuAvx2H from "../native/cpu/avx2.h" with { type: "text" };
import cpuDeviceCpp from "../native/cpu/device.cpp" with { type: "text" };
import cpuFarFileCpp from "../native/cpu/far_file.cpp" with { type: "text" };
import cpuFarFileH from "../native/cpu/far_file.h" with { type: "text" };
import cpuFeaturesCpp from "../native/cpu/features.cpp" with { type: "text" };
import cpuFeaturesH from "../native/cpu/features.h" with { type: "text" };
import cpuIoCpp from "../native/cpu/io.cpp" with { type: "text" };
import cpuIoH from "../native/cpu/io.h" with { type: "text" };
import cpuKernelsH from "../native/cpu/kernels.h" with { type: "text" };
import cpuKernelsAheadH from "../native/cpu/kernels/ahead.h" with { type: "text" };
import cpuKernelsAttendCpp from "../native/cpu/kernels/attend.cpp" with { type: "text" };
import cpuKernelsAuditCpp from "../native/cpu/kernels/audit.cpp" with { type: "text" };
import cpuKernelsChooseCpp from "../native/cpu/kernels/choose.cpp" with { type: "text" };
import cpuKernelsChunkH from "../native/cpu/kernels/chunk.h" with { type: "text" };
import cpuKernelsDecoderCpp from "../native/cpu/kernels/decoder.cpp" with { type: "text" };
import cpuKernelsDrawCpp from "../native/cpu/kernels/draw.cpp" with { type: "text" };
import cpuKernelsEncodeCpp from "../native/cpu/kernels/encode.cpp" with { type: "text" };
import cpuKernelsExactH from "../native/cpu/kernels/exact.h" with { type: "text" };
import cpuKernelsHeadsH from "../native/cpu/kernels/heads.h" with { type: "text" };
import cpuKernelsInt8InputsH from "../native/cpu/kernels/int8_inputs.h" with { type: "text" };
import cpuKernelsInt8PairsH from "../native/cpu/kernels/int8_pairs.h" with { type: "text" };
import cpuKernelsInt8PartsH from "../native/cpu/kernels/int8_parts.h" with { type: "text" };
import cpuKernelsOneLoopCpp from "../native/cpu/kernels/one_loop.cpp" with { type: "text" };
import cpuKernelsPrefillCpp from "../native/cpu/kernels/prefill.cpp" with { type: "text" };
import cpuKernelsProjectCpp from "../native/cpu/kernels/project.cpp" with { type: "text" };
import cpuKernelsProjectH from "../native/cpu/kernels/project.h" with { type: "text" };
import cpuKernelsProjectInt8Cpp from "../native/cpu/kernels/project_int8.cpp" with { type: "text" };
import cpuKernelsQuadsH from "../native/cpu/kernels/quads.h" with { type: "text" };
import cpuKernelsRotateH from "../native/cpu/kernels/rotate.h" with { type: "text" };
import cpuKernelsRowsCpp from "../native/cpu/kernels/rows.cpp" with { type: "text" };
import cpuKernelsRowsH from "../native/cpu/kernels/rows.h" with { type: "text" };
import cpuKernelsScanCpp from "../native/cpu/kernels/scan.cpp" with { type: "text" };
import cpuKernelsScoresH from "../native/cpu/kernels/scores.h" with { type: "text" };
import cpuKernelsTableCpp from "../native/cpu/kernels/table.cpp" with { type: "text" };
import cpuKernelsValuesCpp from "../native/cpu/kernels/values.cpp" with { type: "text" };
import cpuKernelsValuesH from "../native/cpu/kernels/values.h" with { type: "text" };
import cpuKernelsWeighH from "../native/cpu/kernels/weigh.h" with { type: "text" };
import cpuKernelsWeightsH from "../native/cpu/kernels/weights.h" with { type: "text" };
import cpuKernelsWholeCpp from "../native/cpu/kernels/whole.cpp" with { type: "text" };
import cpuKernelsWholeInputsH from "../native/cpu/kernels/whole_inputs.h" with { type: "text" };
import cpuKernelsWholePairsH from "../native/cpu/kernels/whole_pairs.h" with { type: "text" };
import cpuKernelsWholeQuadsH from "../native/cpu/kernels/whole_quads.h" with { type: "text" };
import cpuNeonH from "../native/cpu/neon.h" with { type: "text" };
import cpuReadersCpp from "../native/cpu/readers.cpp" with { type: "text" };
import cpuReadsH from "../native/cpu/reads.h" with { type: "text" };
import cpuSimdH from "../native/cpu/simd.h" with { type: "text" };
import cpuTablesCpp from "../native/cpu/tables.cpp" with { type: "text" };
import cpuTablesH from "../native/cpu/tables.h" with { type: "text" };
import cpuThreadsCpp from "../native/cpu/threads.cpp" with { type: "text" };
import cpuThreadsH from "../native/cpu/threads.h" with { type: "text" };
import cpuUringCpp from "../native/cpu/uring.cpp" with { type: "text" };
import dequantizeH from "../native/dequantize.h" with { type: "text" };
import deviceH from "../native/device.h" with { type: "text" };
import devicesCpp from "../native/devices.cpp" with { type: "text" };
import drawH from "../native/draw.h" with { type: "text" };
import failureH from "../native/failure.h" with { type: "text" };
import heapH from "../native/heap.h" with { type: "text" };
import kernelsH from "../native/kernels.h" with { type: "text" };
import modelDecodeCpp from "../native/model/decode.cpp" with { type: "text" };
import modelForwardCpp from "../native/model/forward.cpp" with { type: "text" };
import modelModelCpp from "../native/model/model.cpp" with { type: "text" };
import modelModelH from "../native/model/model.h" with { type: "text" };
import numbersH from "../native/numbers.h" with { type: "text" };
import oneLoopH from "../native/one_loop.h" with { type: "text" };
import quantizeH from "../native/quantize.h" with { type: "text" };
import queryH from "../native/query.h" with { type: "text" };
import randomH from "../native/random.h" with { type: "text" };
import referenceAuditCpp from "../native/reference/audit.cpp" with { type: "text" };
import referenceCacheCpp from "../native/reference/cache.cpp" with { type: "text" };
import referenceCodesCpp from "../native/reference/codes.cpp" with { type: "text" };
import referenceCodesH from "../native/reference/codes.h" with { type: "text" };
import referenceDecoderCpp from "../native/reference/decoder.cpp" with { type: "text" };
import referenceDrawCpp from "../native/reference/draw.cpp" with { type: "text" };
import referenceReferenceH from "../native/reference/reference.h" with { type: "text" };
import referenceSlotsCpp from "../native/reference/slots.cpp" with { type: "text" };
import rotationH from "../native/rotation.h" with { type: "text" };
import scratchH from "../native/scratch.h" with { type: "text" };
import specacheH from "../native/specache.h" with { type: "text" };
import stepCpp from "../native/step.cpp" with { type: "text" };
import stepH from "../native/step.h" with { type: "text" };
import storeChecksumCpp from "../native/store/checksum.cpp" with { type: "text" };
import storePagesCpp from "../native/store/pages.cpp" with { type: "text" };
import storePlanCpp from "../native/store/plan.cpp" with { type: "text" };
import storePlanH from "../native/store/plan.h" with { type: "text" };
import storeSequenceH from "../native/store/sequence.h" with { type: "text" };
import storeStoreCpp from "../native/store/store.cpp" with { type: "text" };
import storeStoreH from "../native/store/store.h" with { type: "text" };
import watchCpp from "../native/watch.cpp" with { type: "text" };
import watchH from "../native/watch.h" with { type: "text" };

/** Text of each source, by its path in the package. */
export const sources: Readonly<Record<string, string>> = {
  "cuda/argmax.cu": cudaArgmaxCu,
  "cuda/attend.cu": cudaAttendCu,
  "cuda/block.cuh": cudaBlockCuh,
  "cuda/choose.cu": cudaChooseCu,
  "cuda/coded.cuh": cudaCodedCuh,
  "cuda/cublas.cu": cudaCublasCu,
  "cuda/cublas.h": cudaCublasH,
  "cuda/decoder.cu": cudaDecoderCu,
  "cuda/device.cu": cudaDeviceCu,
  "cuda/encode.cu": cudaEncodeCu,
  "cuda/encode_paper.cuh": cudaEncodePaperCuh,
  "cuda/exact.cuh": cudaExactCuh,
  "cuda/fast.cu": cudaFastCu,
  "cuda/fast.h": cudaFastH,
  "cuda/fetch.cu": cudaFetchCu,
  "cuda/fetch.h": cudaFetchH,
  "cuda/kernels.h": cudaKernelsH,
  "cuda/merge.cuh": cudaMergeCuh,
  "cuda/pieces.cuh": cudaPiecesCuh,
  "cuda/prefill.cu": cudaPrefillCu,
  "cuda/product.cuh": cudaProductCuh,
  "cuda/project.cu": cudaProjectCu,
  "cuda/project_tile.cuh": cudaProjectTileCuh,
  "cuda/rotation.cuh": cudaRotationCuh,
  "cuda/rows.cu": cudaRowsCu,
  "cuda/scan.cu": cudaScanCu,
  "cuda/settle.cu": cudaSettleCu,
  "cuda/slots.cu": cudaSlotsCu,
  "cuda/slots.cuh": cudaSlotsCuh,
  "cuda/stream.h": cudaStreamH,
  "cuda/table.cu": cudaTableCu,
  "cuda/table.h": cudaTableH,
  "cuda/terms.cuh": cudaTermsCuh,
  "native/abi.cpp": abiCpp,
  "native/abi.h": abiH,
  "native/abi_step.cpp": abiStepCpp,
  "native/abi_tools.cpp": abiToolsCpp,
  "native/append.cpp": appendCpp,
  "native/audit.cpp": auditCpp,
  "native/audit.h": auditH,
  "native/bench.cpp": benchCpp,
  "native/bench.h": benchH,
  "native/borrowed.h": borrowedH,
  "native/codes.h": codesH,
  "native/cpu/amx/columns.h": cpuAmxColumnsH,
  "native/cpu/amx/inputs.h": cpuAmxInputsH,
  "native/cpu/amx/prefill.cpp": cpuAmxPrefillCpp,
  "native/cpu/amx/project.cpp": cpuAmxProjectCpp,
  "native/cpu/amx/thirds.h": cpuAmxThirdsH,
  "native/cpu/amx/tiles.h": cpuAmxTilesH,
  "native/cpu/avx2.h": cpuAvx2H,
  "native/cpu/device.cpp": cpuDeviceCpp,
  "native/cpu/far_file.cpp": cpuFarFileCpp,
  "native/cpu/far_file.h": cpuFarFileH,
  "native/cpu/features.cpp": cpuFeaturesCpp,
  "native/cpu/features.h": cpuFeaturesH,
  "native/cpu/io.cpp": cpuIoCpp,
  "native/cpu/io.h": cpuIoH,
  "native/cpu/kernels.h": cpuKernelsH,
  "native/cpu/kernels/ahead.h": cpuKernelsAheadH,
  "native/cpu/kernels/attend.cpp": cpuKernelsAttendCpp,
  "native/cpu/kernels/audit.cpp": cpuKernelsAuditCpp,
  "native/cpu/kernels/choose.cpp": cpuKernelsChooseCpp,
  "native/cpu/kernels/chunk.h": cpuKernelsChunkH,
  "native/cpu/kernels/decoder.cpp": cpuKernelsDecoderCpp,
  "native/cpu/kernels/draw.cpp": cpuKernelsDrawCpp,
  "native/cpu/kernels/encode.cpp": cpuKernelsEncodeCpp,
  "native/cpu/kernels/exact.h": cpuKernelsExactH,
  "native/cpu/kernels/heads.h": cpuKernelsHeadsH,
  "native/cpu/kernels/int8_inputs.h": cpuKernelsInt8InputsH,
  "native/cpu/kernels/int8_pairs.h": cpuKernelsInt8PairsH,
  "native/cpu/kernels/int8_parts.h": cpuKernelsInt8PartsH,
  "native/cpu/kernels/one_loop.cpp": cpuKernelsOneLoopCpp,
  "native/cpu/kernels/prefill.cpp": cpuKernelsPrefillCpp,
  "native/cpu/kernels/project.cpp": cpuKernelsProjectCpp,
  "native/cpu/kernels/project.h": cpuKernelsProjectH,
  "native/cpu/kernels/project_int8.cpp": cpuKernelsProjectInt8Cpp,
  "native/cpu/kernels/quads.h": cpuKernelsQuadsH,
  "native/cpu/kernels/rotate.h": cpuKernelsRotateH,
  "native/cpu/kernels/rows.cpp": cpuKernelsRowsCpp,
  "native/cpu/kernels/rows.h": cpuKernelsRowsH,
  "native/cpu/kernels/scan.cpp": cpuKernelsScanCpp,
  "native/cpu/kernels/scores.h": cpuKernelsScoresH,
  "native/cpu/kernels/table.cpp": cpuKernelsTableCpp,
  "native/cpu/kernels/values.cpp": cpuKernelsValuesCpp,
  "native/cpu/kernels/values.h": cpuKernelsValuesH,
  "native/cpu/kernels/weigh.h": cpuKernelsWeighH,
  "native/cpu/kernels/weights.h": cpuKernelsWeightsH,
  "native/cpu/kernels/whole.cpp": cpuKernelsWholeCpp,
  "native/cpu/kernels/whole_inputs.h": cpuKernelsWholeInputsH,
  "native/cpu/kernels/whole_pairs.h": cpuKernelsWholePairsH,
  "native/cpu/kernels/whole_quads.h": cpuKernelsWholeQuadsH,
  "native/cpu/neon.h": cpuNeonH,
  "native/cpu/readers.cpp": cpuReadersCpp,
  "native/cpu/reads.h": cpuReadsH,
  "native/cpu/simd.h": cpuSimdH,
  "native/cpu/tables.cpp": cpuTablesCpp,
  "native/cpu/tables.h": cpuTablesH,
  "native/cpu/threads.cpp": cpuThreadsCpp,
  "native/cpu/threads.h": cpuThreadsH,
  "native/cpu/uring.cpp": cpuUringCpp,
  "native/dequantize.h": dequantizeH,
  "native/device.h": deviceH,
  "native/devices.cpp": devicesCpp,
  "native/draw.h": drawH,
  "native/failure.h": failureH,
  "native/heap.h": heapH,
  "native/kernels.h": kernelsH,
  "native/model/decode.cpp": modelDecodeCpp,
  "native/model/forward.cpp": modelForwardCpp,
  "native/model/model.cpp": modelModelCpp,
  "native/model/model.h": modelModelH,
  "native/numbers.h": numbersH,
  "native/one_loop.h": oneLoopH,
  "native/quantize.h": quantizeH,
  "native/query.h": queryH,
  "native/random.h": randomH,
  "native/reference/audit.cpp": referenceAuditCpp,
  "native/reference/cache.cpp": referenceCacheCpp,
  "native/reference/codes.cpp": referenceCodesCpp,
  "native/reference/codes.h": referenceCodesH,
  "native/reference/decoder.cpp": referenceDecoderCpp,
  "native/reference/draw.cpp": referenceDrawCpp,
  "native/reference/reference.h": referenceReferenceH,
  "native/reference/slots.cpp": referenceSlotsCpp,
  "native/rotation.h": rotationH,
  "native/scratch.h": scratchH,
  "native/specache.h": specacheH,
  "native/step.cpp": stepCpp,
  "native/step.h": stepH,
  "native/store/checksum.cpp": storeChecksumCpp,
  "native/store/pages.cpp": storePagesCpp,
  "native/store/plan.cpp": storePlanCpp,
  "native/store/plan.h": storePlanH,
  "native/store/sequence.h": storeSequenceH,
  "native/store/store.cpp": storeStoreCpp,
  "native/store/store.h": storeStoreH,
  "native/watch.cpp": watchCpp,
  "native/watch.h": watchH,
};
